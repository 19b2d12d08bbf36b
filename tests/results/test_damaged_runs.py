"""The command on damaged and hostile directories: at most a line for each, and never more."""

from __future__ import annotations

import contextlib
import io
import os
import random
import shutil
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from legoloop.app.compose import compose
from legoloop.results.__main__ import main
from tests.results.damaged_runs import CONTROL, RAW, damage
from tests.results.made_runs import made_run

ARGUMENTS = (
    *([], ["--by", "seed"], ["--sort", "val/loss"], ["--metric", "*"], ["--where", "seed=0"]),
    *(["--format", name] for name in ("csv", "json", "markdown", "latex")),
    *(["--compare", "whole", "bad"], ["--compare", "bad", "whole", "--format", "csv"]),
)


def results(*arguments: str) -> tuple[int, str]:
    """The exit status, and all that was printed."""
    out, status = io.StringIO(), 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        try:
            main(arguments)
        except SystemExit as ended:
            status = int(ended.code or 0)
    return status, out.getvalue()


def is_harmless(text: str) -> bool:
    """Whether nothing in it is obeyed by a terminal."""
    return all(char.isprintable() or char == "\n" for char in text)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was really made."""
    here = tmp_path_factory.mktemp("runs")
    small = ("data=xor", "model=logistic", "num_epochs=1", "epoch_size=32", "eval_samples=32")
    with contextlib.chdir(here), contextlib.redirect_stdout(None):
        words = [*small, "loggers=[csv]", "plugins=[default]", "hydra.run.dir=whole"]
        compose(words).host().run()
    return here / "whole"


@pytest.mark.slow
@settings(deadline=None)
@given(seed=st.integers(0, 2**32))
def test_any_damage_is_at_most_a_line(whole: Path, seed: int) -> None:
    draw = random.Random(seed)
    with TemporaryDirectory() as folder:
        for name in ("whole", "bad"):
            shutil.copytree(whole, Path(folder, name))
        told = damage(Path(folder, "bad"), draw)
        for arguments in draw.sample(ARGUMENTS, 3):
            status, text = results(folder, *arguments)
            assert status in (0, 2), ascii((told, text))
            assert is_harmless(text), ascii((told, text))


@pytest.mark.parametrize("number", range(len(RAW["yaml"])))
def test_yaml_that_does_harm(tmp_path: Path, number: int) -> None:
    made_run(tmp_path, "good", {"seed": 0})
    (made_run(tmp_path, "bad") / "config.yaml").write_text(RAW["yaml"][number])
    status, text = results(str(tmp_path))
    assert status == 0
    assert "good" in text
    assert is_harmless(text)


@pytest.mark.parametrize("file", ["run.json", "config.yaml", "metrics.csv", "predicts.csv"])
@pytest.mark.parametrize("kind", ["FIFO", "device"])
def test_what_is_no_file_is_not_waited_for(tmp_path: Path, file: str, kind: str) -> None:
    made_run(tmp_path, "good", {"seed": 0}, predicts="idx,logit0\n3,1\n")
    bad = made_run(tmp_path, "bad", {"seed": 0}, status="RUNNING", metrics="", predicts="")
    (bad / file).unlink()
    if kind == "FIFO":
        os.mkfifo(bad / file)
    else:
        (bad / file).symlink_to("/dev/zero")
    _, text = results(str(tmp_path), "--compare", "good", "good")
    is_read_to_list = file != "predicts.csv"
    assert (f"{file} cannot be read (is not a regular file)" in text) == is_read_to_list
    if not is_read_to_list:
        assert "is not a regular file" in results(str(tmp_path), "--compare", "good", "bad")[1]


@pytest.mark.parametrize("arguments", ARGUMENTS, ids=" ".join)
def test_names_and_values_are_shown_and_not_obeyed(tmp_path: Path, arguments: list[str]) -> None:
    name = CONTROL.replace("\ud800", "\udcff")
    for folder in ("whole", "bad", name):
        evil = name if folder == name else "x"
        config = {"seed": 0 if folder == "whole" else CONTROL[:-2], f"k{evil[:20]}": evil[:-2]}
        cause = {} if folder == "whole" else {"cause": CONTROL, "status": "FAILED"}
        made_run(tmp_path, folder, config, {"val/loss": 0.5, f"val/{CONTROL}": 1.0}, **cause)
    _, text = results(str(tmp_path), *arguments)
    assert is_harmless(text)
    forged = [line for line in text.splitlines() if line.startswith("9  0.1  COMPLETED")]
    # In CSV and of a cause, line breaks stay: in quotes, and indented.
    assert not forged or "csv" in arguments


def test_deep_folders_are_searched(tmp_path: Path) -> None:
    made_run(tmp_path, "run", {"seed": 0})
    with contextlib.chdir(tmp_path):
        for _ in range(1200):  # more than Python's stack
            os.mkdir("d")
            os.chdir("d")
    try:
        assert results(str(tmp_path))[0] == 0
    finally:
        # pytest would remove it by recursion.
        subprocess.run(["rm", "-r", str(tmp_path / "d")], check=True)
