from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
import termios
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import legoloop as ll
from legoloop.output.scalars import progress as module
from tests.tiny import accuracy, tiny

RUN = """
import logging
import sys
import legoloop as ll
from tests.tiny import accuracy, tiny

class Told:
    def scalars(self):
        return {"val[red]/accuracy": 0.123456}

class Prints:
    def batch_start(self, step):
        if "print" in sys.argv:
            print("printed", end=" in parts\\n")
            print("told of an error", file=sys.stderr)
            sys.stdout.writelines(["written\\n", "at once\\n"])
            logging.warning("warned")

    def train_end(self):
        if "print" in sys.argv:
            print("not ended, ", end="")

class Fails:
    def epoch_end(self):
        if "fail" in sys.argv:
            raise SystemExit("on purpose")

logging.basicConfig(format="%(message)s")
parts = tiny(num_epochs=2)
progress = ll.Progress(parts.counter, Told(), num_epochs=2, stream=parts.loops["train"])
if "resume" in sys.argv:
    progress.load_state_dict({**progress.state_dict(), "samples": 8, "seconds": 3600.0})
parts.host(progress, Prints(), Fails()).run()
print('over')
"""
WIDTH = 100
TAKEN_AWAY = re.compile(r"\r +\r")


def on_a_terminal(*arguments: str) -> tuple[int, str]:
    """The exit status and everything that a pseudo-terminal showed."""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, WIDTH))
    process = subprocess.Popen(
        [sys.executable, "-c", RUN, *arguments],
        stdin=theirs, stdout=theirs, stderr=theirs, cwd=Path(__file__).parents[3],
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
    rate = ll.LearningRateMonitor(parts.opt)

    parts.host(ll.Progress(parts.counter, rate, num_epochs=2), rate).run()

    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    time = r"\d+\.\d s  \d+ samples/s"
    assert re.fullmatch(rf"epoch 1/2  step 6  lr 0\.01  {time}  \d:\d\d:\d\d left", lines[0])
    assert re.fullmatch(rf"epoch 2/2  step 12  lr 0\.01  {time}", lines[1])


def test_does_not_need_to_know_the_number_of_epochs(capsys: pytest.CaptureFixture[str]) -> None:
    parts = tiny(num_epochs=1)
    rate = ll.LearningRateMonitor(parts.opt)
    parts.host(ll.Progress(parts.counter, rate), rate).run()
    assert capsys.readouterr().out.startswith("epoch 1  step 6")


def lines_of(shown: str) -> list[str]:
    """What a terminal has in its lines at the end, where each is drawn anew from its start."""
    lines = []
    for line in shown.split("\n"):
        cells = ""
        for drawn in line.removesuffix("\r").split("\r"):
            cells = drawn + cells[len(drawn) :]
        lines.append(cells.rstrip())
    return lines


def test_on_a_terminal_shows_a_bar_and_the_lines_as_they_are() -> None:
    status, shown = on_a_terminal()

    assert status == 0
    assert re.search(r"epoch 1/2 +\S* +\d+/22", shown)
    first, second, over, end = lines_of(shown)
    assert first.startswith("epoch 1/2  step 6  val[red]/accuracy 0.1235")
    assert second.startswith("epoch 2/2  step 12  val[red]/accuracy 0.1235")
    assert (over, end) == ("over", "")
    assert max(map(len, re.split("[\r\n]", shown))) <= WIDTH


@pytest.mark.slow
def test_what_is_printed_meanwhile_stands_above_it_in_whole_lines() -> None:
    status, shown = on_a_terminal("print")

    assert status == 0
    lines = lines_of(shown)
    for line in ("printed in parts", "told of an error", "written", "at once", "warned"):
        assert lines.count(line) == 12
    assert sum(not line.startswith("epoch") for line in lines) == 5 * 12 + 2
    assert lines[-2] == "not ended, over"


@pytest.mark.slow
def test_on_a_terminal_gives_it_back_when_the_run_fails() -> None:
    status, shown = on_a_terminal("fail")

    assert status == 1
    before, after = shown.split("on purpose")
    assert TAKEN_AWAY.search(before)
    assert not after.strip()


@pytest.mark.slow
def test_a_resumed_run_goes_on_with_clock_and_bar() -> None:
    status, shown = on_a_terminal("resume")

    assert status == 0
    assert re.search(r"epoch 1/2 +\S* +8/22", shown)
    assert re.search(r"val\[red\]/accuracy 0\.1235  36\d\d\.\d s", shown)


def test_a_resumed_run_prints_no_line_again(capsys: pytest.CaptureFixture[str]) -> None:
    parts = tiny(num_epochs=1)
    rate = ll.LearningRateMonitor(parts.opt)
    first, second = ll.Progress(parts.counter, rate), ll.Progress(parts.counter, rate)
    first.epoch_end()
    capsys.readouterr()

    second.load_state_dict(first.state_dict())
    second.train_start()
    second.train_end()

    assert capsys.readouterr().out == ""


class Clock:
    """Stands still but for what a test lets pass."""

    now = 100.0

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(module.time, "monotonic", lambda: self.now)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


class Told:
    asked = 0

    def scalars(self) -> dict[str, float]:
        self.asked += 1
        return {"loss": 0.5}


def steps(progress: ll.Progress, clock: Clock, number: int, seconds: float) -> None:
    step = ll.Step()
    for _ in range(number):
        step.size = 10
        clock.now += seconds
        progress.batch_end(step)


def test_speed_is_that_of_training_and_the_rest_is_counted_with_everything(
    clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    counter = ll.Counter()
    progress = ll.Progress(counter, Told(), num_epochs=4)
    progress.train_start()
    clock.now += 1.0  # before the epoch
    progress.epoch_start()
    steps(progress, clock, number=5, seconds=0.5)
    clock.now += 6.5  # of evaluation
    counter.epochs, counter.steps = 1, 5

    progress.epoch_end()

    assert capsys.readouterr().out == (
        "epoch 1/4  step 5  loss 0.5  10.0 s  20 samples/s  0:00:30 left\n"
    )


def test_time_between_two_attempts_does_not_count_nor_do_their_samples(
    clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    first = ll.Progress(ll.Counter(), Told(), num_epochs=2, epoch_size=100)
    first.train_start(), first.epoch_start()
    steps(first, clock, number=5, seconds=1.0)
    state = first.state_dict()
    counter = ll.Counter()
    second = ll.Progress(counter, Told(), num_epochs=2, epoch_size=100)
    second.load_state_dict(state)
    clock.now += 1000.0

    second.train_start()
    steps(second, clock, number=5, seconds=0.5)
    counter.epochs, counter.steps = 1, 10
    second.epoch_end()

    assert "  7.5 s  20 samples/s  0:00:08 left" in capsys.readouterr().out

    second.write(10, {"final/val/loss": 0.5})  # no epoch is under way

    assert "samples/s" not in capsys.readouterr().out


def test_a_report_in_mid_epoch_tells_of_the_epoch_under_way(
    clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    counter = ll.Counter()
    progress = ll.Progress(counter, Told(), num_epochs=2, epoch_size=100, every_steps=5)
    progress.train_start(), progress.epoch_start()
    counter.steps = 5

    steps(progress, clock, number=1, seconds=1.0)

    assert capsys.readouterr().out == (
        "epoch 1/2  step 5  loss 0.5  1.0 s  10 samples/s  0:00:19 left\n"
    )


def test_off_a_terminal_no_source_is_asked_but_for_a_report(clock: Clock) -> None:
    told = Told()
    progress = ll.Progress(ll.Counter(), told)
    progress.train_start(), progress.epoch_start()
    steps(progress, clock, number=100, seconds=1.0)
    assert told.asked == 0


class Screen:
    """Stands for the bar, to draw which takes so long."""

    def __init__(self, clock: Clock, seconds: float) -> None:
        self.clock, self.seconds = clock, seconds
        self.moved = 0

    def show(self, description: str, completed: int, total: int | None, columns: str) -> None:
        if completed:
            self.clock.now += self.seconds
            self.moved += 1


@given(seconds=st.sampled_from([0.0, 1e-4, 1e-3, 1e-2, 0.1]), a_step=st.floats(1e-3, 1.0))
@pytest.mark.slow
def test_the_bar_moves_ten_times_a_second_at_most_and_takes_little_time(
    seconds: float, a_step: float
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        clock = Clock(patch)
        screen, told = Screen(clock, seconds), Told()
        patch.setattr(module.sys.stdout, "isatty", lambda: True, raising=False)
        patch.setattr("legoloop.output.scalars.progress_bar.ProgressBar", lambda: screen)
        progress = ll.Progress(ll.Counter(), told)
        progress.train_start(), progress.epoch_start()

        steps(progress, clock, number=1000, seconds=a_step)

    elapsed = clock.now - Clock.now
    assert 1 <= screen.moved == told.asked <= 1 + elapsed / module.BAR_INTERVAL
    assert screen.moved * seconds <= seconds + elapsed * module.MAX_BAR_FRACTION * 1.001


def test_nothing_is_left_of_a_training_that_ended_early(
    clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    parts = tiny(num_epochs=9)
    late = ll.AccumulatorMetrics(parts.loaders_acc(), accuracy, prefix="final/")
    loss = ll.TrainLoss()
    writer = ll.Progress(parts.counter, [loss, late], num_epochs=9, stream=parts.loops["train"])
    parts.host(loss, late, writer, ll.LastStep(parts.counter, 8)).run()
    *before, last = capsys.readouterr().out.splitlines()
    assert all(" left" in line for line in before)
    assert "final/" in last
    assert " left" not in last
