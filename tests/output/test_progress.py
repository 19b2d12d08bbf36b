from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest

import legoloop as ll
from tests.tiny import tiny

RUN = """
import sys
import legoloop as ll
from tests.tiny import tiny

class Told:
    def scalars(self):
        return {"val[red]/accuracy": 0.123456}

class Fails:
    def epoch_end(self):
        if "fail" in sys.argv:
            raise SystemExit("on purpose")

parts = tiny(num_epochs=2)
progress = ll.Progress(parts.counter, Told(), num_epochs=2, epoch_size=22)
if "resume" in sys.argv:
    progress.load_state_dict({**progress.state_dict(), "samples": 8, "seconds": 3600.0})
parts.host(progress, Fails()).run()
"""
SHOW_CURSOR, HIDE_CURSOR = "\x1b[?25h", "\x1b[?25l"


def on_a_terminal(*arguments: str) -> tuple[int, str]:
    """The exit status and everything that a pseudo-terminal showed."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", RUN, *arguments],
        stdin=theirs, stdout=theirs, stderr=theirs, cwd=Path(__file__).parents[2],
        env={**os.environ, "TERM": "xterm-256color", "COLUMNS": "80"},
    )  # fmt: skip
    os.close(theirs)
    shown = b""
    try:
        while chunk := os.read(ours, 65536):
            shown += chunk
    except OSError:  # how Linux says that the other end was closed
        pass
    os.close(ours)
    return process.wait(), shown.decode()


def test_prints_a_plain_line_for_every_report(capsys: pytest.CaptureFixture[str]) -> None:
    parts = tiny(num_epochs=2)
    rate = ll.LearningRate(parts.opt)

    parts.host(ll.Progress(parts.counter, rate, num_epochs=2), rate).run()

    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert re.fullmatch(r"epoch 1/2  step 6  lr 0\.01  \d+\.\d s", lines[0])
    assert re.fullmatch(r"epoch 2/2  step 12  lr 0\.01  \d+\.\d s", lines[1])


def test_does_not_need_to_know_the_number_of_epochs(capsys: pytest.CaptureFixture[str]) -> None:
    parts = tiny(num_epochs=1)
    rate = ll.LearningRate(parts.opt)
    parts.host(ll.Progress(parts.counter, rate), rate).run()
    assert capsys.readouterr().out.startswith("epoch 1  step 6")


def test_on_a_terminal_shows_a_bar_and_the_lines_as_they_are() -> None:
    status, shown = on_a_terminal()

    assert status == 0
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown)
    for epoch, step in ((1, 6), (2, 12)):
        assert f"epoch {epoch}/2  step {step}  val[red]/accuracy 0.1235" in plain
    assert "/22" in plain
    assert shown.count(HIDE_CURSOR) == shown.count(SHOW_CURSOR) == 1


def test_on_a_terminal_gives_it_back_when_the_run_fails() -> None:
    status, shown = on_a_terminal("fail")

    assert status == 1
    assert "on purpose" in shown
    assert shown.count(HIDE_CURSOR) == shown.count(SHOW_CURSOR) == 1
    assert shown.index(SHOW_CURSOR) < shown.index("on purpose")


def test_a_resumed_run_goes_on_with_clock_and_bar() -> None:
    status, shown = on_a_terminal("resume")

    assert status == 0
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown)
    assert re.search(r"epoch 1/2 \S* *8/22", plain)
    assert re.search(r"val\[red\]/accuracy 0\.1235  36\d\d\.\d s", plain)


def test_a_resumed_run_prints_no_line_again(capsys: pytest.CaptureFixture[str]) -> None:
    parts = tiny(num_epochs=1)
    rate = ll.LearningRate(parts.opt)
    first, second = ll.Progress(parts.counter, rate), ll.Progress(parts.counter, rate)
    first.epoch_end()
    capsys.readouterr()

    second.load_state_dict(first.state_dict())
    second.train_start()
    second.train_end()

    assert capsys.readouterr().out == ""
