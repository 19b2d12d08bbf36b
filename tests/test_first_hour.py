"""The first hour, as docs/first_hour.md tells it: its files are written, its commands are run."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from tests import fork_server
from tests.app.command import environment

PAGE = (Path(__file__).parent.parent / "docs" / "first_hour.md").read_text()
MOST_COMMANDS = 20

BLOCKS = re.findall(r"(?:`([\w/.]+)`:\n\n)?```(bash|python|yaml)\n(.*?)```", PAGE, re.DOTALL)
COMMANDS = [line for _, kind, text in BLOCKS if kind == "bash" for line in text.splitlines()]


def test_it_takes_few_commands() -> None:
    assert "Twelve commands" in PAGE
    assert len(COMMANDS) == 12 <= MOST_COMMANDS
    assert all(name for name, kind, _ in BLOCKS if kind != "bash"), "each file has its name"


@pytest.mark.slow
def test_the_first_hour(tmp_path: Path) -> None:
    here, said = tmp_path, ""
    env = environment(BROWSER=f"cp %s {tmp_path}/opened.html")
    for name, kind, text in BLOCKS:
        if kind != "bash":
            (here / name).parent.mkdir(parents=True, exist_ok=True)
            (here / name).write_text(text)
            continue
        for line in text.splitlines():
            program, *arguments = shlex.split(line)
            if program == "mkdir":
                (here / arguments[0]).mkdir()
            elif program == "cd":
                here = here / arguments[0]
            else:
                assert program == "python"
                done = fork_server.run(arguments, cwd=here, env=env)
                assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
                said += done.stdout
    assert "val/worst_recall" in said
    assert "samples are wrong" in said
    assert "was right" in said
    assert re.search(r"run \d: an average wine is grown by \d", said)
    assert "<title>" in (tmp_path / "opened.html").read_text()
