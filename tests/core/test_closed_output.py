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
def test_a_working_directory_that_is_gone_is_told(tmp_path: Path) -> None:
    (tmp_path / "gone").mkdir()
    ended = of_a_shell(tmp_path, "cd gone && rmdir ../gone && $LEGOLOOP data=xor")
    assert ended.stderr == ("error: the working directory was removed; change to one that exists\n")
    assert ended.stdout == "2\n"
