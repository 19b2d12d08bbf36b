"""A reader that has enough, and a working directory that is gone: no traceback."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.app.command import environment


def of_a_shell(here: Path, script: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-c", f"{script}; echo ${{PIPESTATUS[0]}}"],
        cwd=here,
        env=environment(LEGOLOOP=f"{sys.executable} -m legoloop.run"),
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.mark.slow
@pytest.mark.parametrize("arguments", ["show=plan data=xor", "--help", "--cfg job"])
def test_what_nobody_reads_is_dropped(tmp_path: Path, arguments: str) -> None:
    ended = of_a_shell(tmp_path, f"$LEGOLOOP {arguments} | true")
    assert (ended.stdout, ended.stderr) == ("0\n", "")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_the_list_of_commands_that_cannot_be_written(tmp_path: Path) -> None:
    ended = of_a_shell(tmp_path, f"{sys.executable} -m legoloop > /dev/full")
    assert ended.stdout == "0\n"
    assert ended.stderr.startswith("warning: the standard output cannot be written to")
    assert ended.stderr.count("\n") == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    "command", ["$LEGOLOOP data=xor", f"{sys.executable} -m legoloop.evaluate ../run"]
)
def test_a_working_directory_that_is_gone_is_told(tmp_path: Path, command: str) -> None:
    (tmp_path / "gone").mkdir()
    ended = of_a_shell(tmp_path, f"cd gone && rmdir ../gone && {command}")
    assert ended.stderr == ("error: the working directory was removed; change to one that exists\n")
    assert ended.stdout == "2\n"
