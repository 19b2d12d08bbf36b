"""Tab completion, switched on in a real bash as the page says."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.app.command import environment

pytestmark = pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")

PAGE = Path(__file__).parent.parent / "docs" / "completion.md"
FOR_THE_SCRIPT, FOR_PYTHON = re.findall(r"```bash\n(.*?)```", PAGE.read_text(), re.DOTALL)

# What bash does when Tab is pressed at the end of a line without quotes.
PRESS_TAB = """
COMP_LINE=$1 COMP_POINT=${#1}
read -ra COMP_WORDS <<< "$COMP_LINE"
[[ $COMP_LINE == *" " ]] && COMP_WORDS+=("")
COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
[[ $(complete -p "${COMP_WORDS[0]}") =~ -F\\ ([^ ]+) ]] && "${BASH_REMATCH[1]}"
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.fixture(scope="module")
def bin_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs as an environment in which legoloop is installed has them; torch fails."""
    folder = tmp_path_factory.mktemp("bin")
    program(folder / "python", f'exec "{sys.executable}" "$@"')
    script = "from legoloop.run import main; main()"
    # Hydra names the program by its first argument, which -c hides.
    named = f"import sys; sys.argv[0] = 'legoloop-run'; {script}"
    program(folder / "legoloop-run", f'exec "{sys.executable}" -c "{named}" "$@"')
    (folder / "torch.py").write_text("raise AssertionError('completion needs no torch')")
    return folder


def program(file: Path, text: str) -> None:
    file.write_text(f"#!/bin/sh\n{text}\n")
    file.chmod(0o755)


def completed(bin_folder: Path, switched_on: str, line: str) -> list[str]:
    """What is offered for the last word."""
    kept = environment()
    done = subprocess.run(
        ["bash", "--norc", "--noprofile", "-c", switched_on + PRESS_TAB, "bash", line],
        env={
            **kept,
            "PATH": f"{bin_folder}:{kept['PATH']}",
            "PYTHONPATH": f"{bin_folder}:{kept['PYTHONPATH']}",
        },
        cwd=bin_folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.stderr == ""
    return done.stdout.split()


MODELS = ["model=adapted", "model=logistic", "model=mlp", "model=simple_cnn"]


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("legoloop-run model=", MODELS),
        ("legoloop-run model=mlp optimizer.l", ["optimizer.lr="]),
    ],
)
def test_the_console_script_is_completed(bin_folder: Path, line: str, offered: list[str]) -> None:
    assert completed(bin_folder, FOR_THE_SCRIPT, line) == offered


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("python -m legoloop.run model=", MODELS),
        ("python -m legoloop.run -m model=mlp model.h", ["model.hidden."]),
        ("python -m legoloop.run data=mnist data.ro", ["data.root="]),
        ("python -m legoloop.results mod", []),
        ("python mod", []),
    ],
)
def test_the_module_is_completed(bin_folder: Path, line: str, offered: list[str]) -> None:
    assert completed(bin_folder, FOR_PYTHON, line) == offered


def test_after_a_space_all_groups_and_keys_are_offered(bin_folder: Path) -> None:
    offered = completed(bin_folder, FOR_PYTHON, "python -m legoloop.run ")
    assert {"model=", "optimizer=", "data=", "num_epochs=", "feed."} <= {*offered}
