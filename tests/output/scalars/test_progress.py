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
COLOUR = re.compile(r"\x1b\[[\d;]*m")
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


def test_prints_a_row_for_every_report_under_one_header(
    capsys: pytest.CaptureFixture[str],
) -> None:
    parts = tiny(num_epochs=2)
    rate = ll.LearningRateMonitor(parts.opt)

    parts.host(ll.Progress(parts.counter, rate, num_epochs=2), rate).run()

    header, *rows = capsys.readouterr().out.splitlines()
    assert header == "epoch   step        lr    time"
    assert [row.split()[:3] for row in rows] == [["1/2", "6", "0.01"], ["2/2", "12", "0.01"]]
    assert {len(row) for row in rows} == {len(header)}


def test_does_not_need_to_know_the_number_of_epochs(capsys: pytest.CaptureFixture[str]) -> None:
    parts = tiny(num_epochs=1)
    rate = ll.LearningRateMonitor(parts.opt)
    parts.host(ll.Progress(parts.counter, rate), rate).run()
    assert capsys.readouterr().out.splitlines()[1].split()[:2] == ["1", "6"]


def lines_of(shown: str) -> list[str]:
    """What a terminal has in its lines at the end, where each is drawn anew from its start."""
    lines = []
    for line in COLOUR.sub("", shown).split("\n"):
        cells = ""
        for drawn in line.removesuffix("\r").split("\r"):
            cells = drawn + cells[len(drawn) :]
        lines.append(cells.rstrip())
    return lines


@pytest.mark.slow
def test_on_a_terminal_shows_a_bar_and_the_lines_as_they_are() -> None:
    status, shown = on_a_terminal()

    assert status == 0
    assert re.search(r"epoch 1/2 +\S* +\d+/22", shown)
    header, first, second, over, end = lines_of(shown)
    assert header.split() == ["epoch", "step", "val[red]/accuracy", "time"]
    assert first.split()[:3] == ["1/2", "6", "0.1235*"]
    assert second.split()[:3] == ["2/2", "12", "0.1235"]
    assert (over, end) == ("over", "")
    assert "\x1b[1;32m" in shown
    assert max(map(len, re.split("[\r\n]", COLOUR.sub("", shown)))) <= WIDTH


@pytest.mark.slow
def test_what_is_printed_meanwhile_stands_above_it_in_whole_lines() -> None:
    status, shown = on_a_terminal("print")

    assert status == 0
    lines = lines_of(shown)
    for line in ("printed in parts", "told of an error", "written", "at once", "warned"):
        assert lines.count(line) == 12
    assert len(lines) == 5 * 12 + 3 + 2
    assert lines[-2] == "not ended, over"


@pytest.mark.long
def test_on_a_terminal_gives_it_back_when_the_run_fails() -> None:
    status, shown = on_a_terminal("fail")

    assert status == 1
    before, after = shown.split("on purpose")
    assert TAKEN_AWAY.search(before)
    assert not after.strip()


@pytest.mark.long
def test_a_resumed_run_goes_on_with_clock_and_bar() -> None:
    status, shown = on_a_terminal("resume")

    assert status == 0
    assert re.search(r"epoch 1/2 +\S* +8/22", shown)
    assert re.search(r"1/2 +6 +0\.1235\* +1:00:0\d\n", "\n".join(lines_of(shown)))


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

    row = capsys.readouterr().out.splitlines()[-1]
    assert row == "  1/4      5    0.5000  10.0 s"
    assert progress._time_left() == ["0:30 left"]
    assert progress._speed == 20.0


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

    assert capsys.readouterr().out.splitlines()[-1].endswith("  7.5 s")
    assert second._time_left() == ["0:08 left"]
    assert second._speed == 20.0


def test_a_report_in_mid_epoch_tells_of_the_epoch_under_way(
    clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    counter = ll.Counter()
    progress = ll.Progress(counter, Told(), num_epochs=2, epoch_size=100, every_steps=5)
    progress.train_start(), progress.epoch_start()
    counter.steps = 5

    steps(progress, clock, number=1, seconds=1.0)

    assert capsys.readouterr().out.splitlines()[-1] == "  1/2      5    0.5000   1.0 s"


def test_the_time_left_is_not_estimated_before_it_means_something(clock: Clock) -> None:
    counter = ll.Counter()
    progress = ll.Progress(counter, Told(), num_epochs=2, epoch_size=1000)
    progress.train_start(), progress.epoch_start()
    steps(progress, clock, number=1, seconds=9.9)
    assert progress._time_left() == []
    steps(progress, clock, number=1, seconds=0.1)
    assert progress._time_left() == ["16:30 left"]


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
@pytest.mark.long
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
    printed = capsys.readouterr().out.splitlines()
    (final,) = (n for n, line in enumerate(printed) if line.startswith("final"))
    assert printed[final - 1] == ""
    assert printed[final].split() == ["final", "accuracy"]
    assert [line.split()[0] for line in printed[final + 1 :]][:1] == ["train"]
    assert writer._time_left() == []


class Tells:
    """Sources of an epoch, one after another."""

    def __init__(self, *epochs: dict[str, float]) -> None:
        self.epochs = iter(epochs)

    def scalars(self) -> dict[str, float]:
        return next(self.epochs, {})


def table_of(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    *epochs: dict[str, float],
    width: int = 100,
    **settings: object,
) -> list[str]:
    monkeypatch.setenv("COLUMNS", str(width))
    counter = ll.Counter()
    progress = ll.Progress(counter, Tells(*epochs), **settings)  # type: ignore[arg-type]
    progress.train_start()
    for number in range(1, len(epochs) + 1):
        counter.epochs, counter.steps = number, 10 * number
        progress.epoch_end()
    return capsys.readouterr().out.splitlines()


SCALARS = {
    "lr": 0.001,
    "train/accuracy": 0.9,
    "train/loss": 0.2,
    "val/loss": 0.3,
    "val/accuracy": 0.8,
    "val/recall_0": 0.7,
    "loss": 0.25,
    "gradient_norm": 3.0,
}


def test_the_usual_columns_and_once_what_is_left_out(
    clock: Clock, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    told, header, *rows = table_of(
        monkeypatch, capsys, SCALARS, SCALARS, width=130, num_epochs=2, monitor="val/accuracy"
    )
    assert told == (
        "not shown: train/accuracy, train/loss, val/recall_0, gradient_norm "
        "(loggers.progress.columns=[…] chooses)"
    )
    assert header.split() == [
        *("epoch", "step", "loss", "val/accuracy", "val/loss", "lr", "time"),
    ]
    assert [row.split() for row in rows] == [
        ["1/2", "10", "0.2500", "0.8000*", "0.3000*", "0.001", "0.0", "s"],
        ["2/2", "20", "0.2500", "0.8000", "0.3000", "0.001", "0.0", "s"],
    ]


@pytest.mark.parametrize(
    ("width", "titles"),
    [
        (60, "epoch step loss val/accuracy val/loss time"),
        (42, "epoch loss val/accuracy time"),
        (30, "epoch loss val/accuracy"),
        (24, "epoch val/accuracy"),
        (6, "epoch"),
        (3, "ep…"),
    ],
)
def test_a_narrow_terminal_keeps_what_the_run_is_about(
    width: int,
    titles: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    printed = table_of(monkeypatch, capsys, SCALARS, width=width, monitor="val/accuracy")
    assert " ".join(printed[1].split()) == titles
    assert max(map(len, printed)) <= width


def test_chosen_columns_stand_in_their_order(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    printed = table_of(monkeypatch, capsys, SCALARS, columns=["gradient_*", "train/*"])
    assert printed[1].split() == [
        *("epoch", "step", "gradient_norm", "train/accuracy", "train/loss", "time"),
    ]


def test_a_column_that_nothing_reports_is_refused_after_the_first_epoch(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ll.ArgumentError) as refused:
        table_of(monkeypatch, capsys, SCALARS, columns=["loss", "val/acuracy"])
    assert str(refused.value) == (
        "loggers.progress.columns has 'val/acuracy', which no source reports after an epoch; "
        "did you mean val/accuracy?"
    )


def test_the_best_value_and_its_epoch_are_known_after_a_resume(
    clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    counter = ll.Counter()
    counter.epochs, counter.steps = 1, 10
    first = ll.Progress(counter, Tells({"val/f1": 0.75}))
    first.epoch_end()
    second = ll.Progress(counter, Tells({"val/f1": 0.5}, {"final/val/f1": 0.5, "final/a/f1": 1}))
    second.load_state_dict(first.state_dict())
    second.train_start()
    counter.epochs, counter.steps = 2, 20
    second.epoch_end()
    second.train()
    second.train_end()
    *_, row, empty, heading, val, other, best = capsys.readouterr().out.splitlines()
    assert row == "    2     20  0.5000    0.0 s"
    assert (empty, heading, val, other) == ("", "final      f1", "val    0.5000", "a      1.0000")
    assert best == "best val/f1 0.7500 after epoch 1"
