from __future__ import annotations

import errno
import io
import os
import sys
from pathlib import Path

import pytest

from legoloop.core.output_streams import tolerant_output
from legoloop.state.run_record import read_record
from tests.app.command import SMALL, logging_as_it_was, status_of_main


class Full(io.StringIO):
    """A stream that takes nothing."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error

    def write(self, text: str) -> int:
        raise self.error


ERRORS = [
    BrokenPipeError(errno.EPIPE, "Broken pipe"),
    OSError(errno.ENOSPC, "No space left on device"),
    OSError(errno.EIO, "Input/output error"),
    ValueError("I/O operation on closed file"),
]


@pytest.mark.parametrize("error", ERRORS, ids=str)
def test_what_cannot_be_printed_is_told_once_on_the_other_stream(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    other = io.StringIO()
    for lost, kept in (("stdout", "stderr"), ("stderr", "stdout")):
        other = io.StringIO()
        monkeypatch.setattr(sys, lost, Full(error))
        monkeypatch.setattr(sys, kept, other)
        with tolerant_output():
            for _ in range(3):
                print("a line", file=getattr(sys, lost), flush=True)
            with tolerant_output():
                getattr(sys, lost).writelines(["one ", "more"])
        (line,) = other.getvalue().splitlines()
        assert line.startswith("warning: the standard ")
        assert getattr(error, "strerror", None) or str(error) in line


def test_without_any_stream_nothing_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", None)
    with tolerant_output():
        print("nobody reads this")
        assert not sys.stdout.isatty()
        assert sys.stdout.fileno() >= 0
    assert sys.stdout is None


def test_characters_that_the_encoding_has_not_are_escaped(monkeypatch: pytest.MonkeyPatch) -> None:
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding="ascii"))
    with tolerant_output():
        print("0.5 ± 0.1 → \udcff")
    assert written.getvalue() == b"0.5 \\xb1 0.1 \\u2192 \\udcff\n"


def test_a_stream_that_works_is_as_it_was(capsys: pytest.CaptureFixture[str]) -> None:
    stream = sys.stdout
    with tolerant_output():
        print("a line")
        assert sys.stdout.encoding == stream.encoding
    assert sys.stdout is stream
    assert capsys.readouterr() == ("a line\n", "")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no /dev/full")
def test_a_run_completes_though_it_can_print_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["legoloop-run", *SMALL, "loggers=[progress]", "hydra.run.dir=run"]
    monkeypatch.setattr(sys, "argv", words)
    with open("/dev/full", "w") as full, logging_as_it_was():
        monkeypatch.setattr(sys, "stdout", full)
        assert status_of_main() == 0
    assert read_record(tmp_path / "run")["status"] == "COMPLETED"
    told = "warning: the standard output cannot be written to (No space left on device); "
    assert capsys.readouterr().err == told + "what is printed is lost\n"
