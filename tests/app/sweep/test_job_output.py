from __future__ import annotations

import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from legoloop.app.sweep.job_output import MOST_OF_THE_END, last_error, output_to


def test_what_python_c_and_children_print_goes_to_the_file_and_nothing_after(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    handler = logging.StreamHandler(open(2, "w", closefd=False))  # noqa: SIM115
    log = logging.getLogger("printed before")
    log.addHandler(handler)
    try:
        with output_to(tmp_path / "output.log"):
            print("python")
            print("an error", file=sys.stderr)
            os.write(1, b"a library\n")
            log.warning("logged")
            subprocess.run(["echo", "a child"], check=True)
        print("after")
    finally:
        log.removeHandler(handler)
    written = (tmp_path / "output.log").read_text().splitlines()
    assert sorted(written) == ["a child", "a library", "an error", "logged", "python"]
    assert capfd.readouterr() == ("after\n", "")


def test_a_second_attempt_appends(tmp_path: Path) -> None:
    for number in range(2):
        with output_to(tmp_path / "output.log"):
            print(number)
    assert (tmp_path / "output.log").read_text() == "0\n1\n"


@pytest.mark.parametrize("in_the_way", ["a folder", "a FIFO", "no folder"])
def test_a_file_that_cannot_be_is_a_warning(
    in_the_way: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "missing" / "output.log" if in_the_way == "no folder" else tmp_path / "out"
    if in_the_way == "a folder":
        file.mkdir()
    elif in_the_way == "a FIFO":
        os.mkfifo(file)
    with output_to(file):
        print("seen")
    shown = capfd.readouterr()
    assert shown.out == "seen\n"
    assert shown.err.startswith(f"warning: {file} cannot be written to (")


def test_the_last_error_is_found_at_the_end_of_a_long_file(tmp_path: Path) -> None:
    file = tmp_path / "output.log"
    file.write_text("error: old\n" + "x\n" * MOST_OF_THE_END + "error: seed: is -1\nmore\n")
    assert last_error(file) == "seed: is -1"
    file.write_bytes(b"\xff\n")
    assert last_error(file) is None
    assert last_error(tmp_path) is None
