from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from legoloop.app.sweep.block import Progress, block, ended_line
from legoloop.app.sweep.watch import WatchedJob
from legoloop.core.terminal import cells

COLOUR = re.compile(r"\x1b\[[\d;]*m")
NOWHERE = Path("/nowhere")


def job(number: int, state: str = "waiting", label: str = "", **known: Any) -> WatchedJob:
    settings = SimpleNamespace(num_epochs=12)
    of_sweep: Any = SimpleNamespace(
        number=number,
        directory=NOWHERE,
        has_completed=False,
        blueprint=SimpleNamespace(settings=settings),
    )
    watched = WatchedJob(of_sweep, label, known.pop("metric", "val/accuracy"))
    for name, value in {"state": state, **known}.items():
        setattr(watched, name, value)
    return watched


def a_sweep() -> Progress:
    return Progress(
        [
            job(0, "completed", "lr 0.003, hidden 32", best=0.895, value=0.89, seconds=75.0),
            job(1, "failed", "lr 0.1, hidden 32", cause="the loss is nan"),
            job(2, "running", "lr 0.003, hidden 128", epoch=6, value=0.5, best=0.6, began=95.0),
            job(3, "running", "lr 0.1, hidden 128", began=99.0),
            job(4),
        ],
        began=85.0,
        done_before=0,
    )


def test_the_heading_sums_up_and_each_running_job_has_a_line() -> None:
    assert block(a_sweep(), width=130, height=24, now=100.0) == [
        "2/5 · 2 running · 1 failed · 0:25 left · best val/accuracy 0.895 (0: lr 0.003, hidden 32)",
        "  2  lr 0.003, hidden 128  epoch 6/12  val/accuracy 0.5  5.0 s",
        "  3  lr 0.1, hidden 128                                  1.0 s",
    ]


def test_on_a_narrow_terminal_the_best_job_has_a_line_of_its_own() -> None:
    assert block(a_sweep(), width=60, height=24, now=100.0)[:2] == [
        "2/5 · 2 running · 1 failed · 0:25 left",
        "best val/accuracy 0.895 (0: lr 0.003, hidden 32)",
    ]


def test_in_colour_it_reads_the_same() -> None:
    plain, coloured = (block(a_sweep(), 130, 24, 100.0, colours) for colours in (False, True))
    assert "\x1b[1;31m1 failed\x1b[0m" in coloured[0]
    assert [COLOUR.sub("", line) for line in coloured] == plain


def test_more_jobs_than_the_terminal_has_lines_are_counted() -> None:
    sweep = Progress([job(n, "running", began=1.0) for n in range(30)], 0.0, 0)
    lines = block(sweep, 80, height=10, now=2.0)
    assert len(lines) == 7
    assert lines[-1] == "  and 25 more"


def test_the_time_left_waits_until_something_is_done() -> None:
    sweep = Progress([job(0, "running", began=0.0), job(1)], began=0.0, done_before=0)
    assert sweep.seconds_left(100.0) is None
    sweep.jobs[0].epoch = 3
    assert sweep.seconds_left(1.0) is None
    assert sweep.seconds_left(100.0) == 700.0


def test_jobs_that_had_completed_before_say_nothing_of_the_pace() -> None:
    sweep = Progress([job(0, "completed"), job(1, "completed"), job(2)], 0.0, done_before=1)
    assert sweep.seconds_left(10.0) == 10.0


def test_jobs_that_are_not_known_yet_are_waited_for_and_pruned_ones_are_done() -> None:
    jobs = [
        job(0, "completed", best=0.9, seconds=8.0),
        job(1, "pruned", "lr 1", value=0.2, seconds=2.0),
        job(2, "running", "lr 2", epoch=6, began=95.0),
    ]
    search = Progress(jobs, began=85.0, done_before=0, total=5)
    heading, running = block(search, width=130, height=24, now=100.0)
    assert heading == "2/5 · 1 running · 1 pruned · 0:15 left · best val/accuracy 0.9 (0)"
    assert running.startswith("  2  lr 2")
    told = "2/5  job 1 (lr 1) pruned in 2.0 s  val/accuracy 0.2"
    assert ended_line(jobs[1], place=2, total=5) == told
    assert (jobs[1].fraction, jobs[1].is_over) == (1.0, True)


def test_a_lower_loss_is_the_better_one() -> None:
    jobs = [job(n, "completed", metric="val/loss", best=best) for n, best in enumerate([2.0, 1.0])]
    best = Progress(jobs, 0.0, 0).best()
    assert best is not None
    assert best.number == 1


def test_a_line_about_a_job_that_has_ended() -> None:
    completed, failed = a_sweep().jobs[:2]
    assert ended_line(completed, 2, 5) == (
        "2/5  job 0 (lr 0.003, hidden 32) completed in 1:15  val/accuracy 0.89"
    )
    assert ended_line(failed, 3, 5) == "job 1 (lr 0.1, hidden 32): the loss is nan"


texts = st.text("ab 损\x1b\n=", max_size=60)
states = st.sampled_from(["waiting", "running", "completed", "failed", "interrupted"])
values = st.none() | st.floats(allow_nan=False)


@given(
    st.lists(st.tuples(states, texts, texts, st.integers(0, 99), values), min_size=1, max_size=9),
    st.integers(1, 140),
    st.integers(1, 12),
)
def test_no_line_is_wider_than_the_terminal(
    given: list[tuple[str, str, str, int, float | None]], width: int, height: int
) -> None:
    jobs = [
        job(number, state, label, metric=metric, epoch=epoch, value=value, best=value, began=0.0)
        for number, (state, label, metric, epoch, value) in enumerate(given)
    ]
    lines = block(Progress(jobs, 0.0, 0), width, height, now=1e4)
    assert all(line.isprintable() for line in lines)
    assert all(cells(line) <= width for line in lines)
    assert len(lines) <= max(4, height - 2)
