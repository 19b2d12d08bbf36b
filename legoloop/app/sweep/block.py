"""What a sweep shows of its jobs: a block of lines that fit the terminal, or a line a job."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from legoloop.app.sweep.watch import WatchedJob
from legoloop.core.metric_direction import is_best
from legoloop.core.terminal import cells, clipped, clock, countdown, painted
from legoloop.core.text import printable

ESTIMATE_AFTER = 3.0
"""Seconds before which the time left is not estimated: jobs are still starting."""
BEST_KEYS = 16
"""Cells, at least, that the keys of a job are shown in."""


@dataclass
class Progress:
    """How far a sweep is.

    Args:
        jobs: all of them.
        began: when the jobs that are left were launched, in seconds of ``time.monotonic()``.
        done_before: how many jobs had completed by then.
        total: how many jobs there will be; None: those that there are.
    """

    jobs: Sequence[WatchedJob]
    began: float
    done_before: int
    total: int | None = None

    def count(self, *states: str) -> int:
        """How many jobs are in one of these states."""
        return sum(job.state in states for job in self.jobs)

    @property
    def number(self) -> int:
        """How many jobs there are, or will be."""
        return len(self.jobs) if self.total is None else self.total

    @property
    def waiting(self) -> int:
        """How many jobs have not begun, or are not known yet."""
        return self.count("waiting") + self.number - len(self.jobs)

    def best(self) -> WatchedJob | None:
        """The job with the best value of the metric; None if there is no value yet."""
        found: WatchedJob | None = None
        for job in self.jobs:
            if job.best is None or job.metric is None or (found and job.metric != found.metric):
                continue
            if found is None or is_best(job.metric, job.best, found.best):
                found = job
        return found

    def seconds_left(self, now: float) -> float | None:
        """Estimated from what was done since the launch; None as long as that says little."""
        elapsed = now - self.began
        completed = self.count("completed", "pruned") - self.done_before
        running = [job for job in self.jobs if job.state == "running"]
        done = completed + sum(job.fraction for job in running)
        is_known = completed > 0 or any(job.epoch > 0 for job in running)
        if not is_known or not done or elapsed < ESTIMATE_AFTER:
            return None
        left = self.waiting + sum(1 - job.fraction for job in running)
        return elapsed / done * left


def block(sweep: Progress, width: int, height: int, now: float, colours: bool = False) -> list[str]:
    """The lines of the block: how far the sweep is, and a line for each running job.

    Args:
        sweep: its jobs, as they were looked at last.
        width: of the terminal; no line is wider.
        height: lines of the terminal; the block leaves two of them.
        now: in seconds of ``time.monotonic()``.
        colours: whether words may be coloured.
    """
    running = [job for job in sweep.jobs if job.state == "running"]
    most = max(1, height - 5)
    lines = _running_lines(running[:most], width, now)
    if len(running) > most:
        lines.append(clipped(f"  and {len(running) - most} more", width))
    return [*_heading(sweep, width, now, colours), *lines]


def ended_line(job: WatchedJob, place: int, total: int) -> str:
    """One line about a job that has ended, at this place of all: how, or why it has failed."""
    label = f" ({printable(job.label)})" if job.label else ""
    if not job.is_done:
        cause = next(iter((job.cause or job.state).splitlines()), job.state)
        return f"job {job.number}{label}: {printable(cause)}"
    seconds = "" if job.seconds is None else f" in {clock(job.seconds)}"
    value = "" if job.value is None else f"  {printable(str(job.metric))} {job.value:.4g}"
    return f"{place}/{total}  job {job.number}{label} {job.state}{seconds}{value}"


def _heading(sweep: Progress, width: int, now: float, colours: bool) -> list[str]:
    """One line, or two where the best job does not fit beside the rest."""
    failed = sweep.count("failed")
    left = sweep.seconds_left(now)
    best = sweep.best()
    running, pruned = sweep.count("running"), sweep.count("pruned")
    parts = [
        f"{sum(job.is_over for job in sweep.jobs)}/{sweep.number}",
        f"{running} running" if running else "starting" if sweep.waiting else "",
        f"{failed} failed" if failed else "",
        f"{pruned} pruned" if pruned else "",
        "" if left is None else f"{countdown(left)} left",
    ]
    best_job = ""
    if best is not None:
        label = f": {best.label}" if best.label else ""
        best_job = printable(f"best {best.metric} {best.best:.4g} ({best.number}{label})")
    heading = " · ".join(filter(None, parts))
    together = " · ".join(filter(None, (heading, best_job)))
    lines = [together] if cells(together) <= width else [heading, best_job]
    first, *rest = (clipped(line, width) for line in lines if line)
    if colours:
        first = first.replace(parts[0], painted(parts[0], "bold"), 1)
        if failed:
            first = first.replace(parts[2], painted(parts[2], "bad"), 1)
    return [first, *rest]


def _running_lines(jobs: Sequence[WatchedJob], width: int, now: float) -> list[str]:
    """Aligned: number, what the job differs in, epoch, value, time; the second one gives way."""
    rows = [
        (
            str(job.number),
            printable(job.label),
            f"epoch {job.epoch}/{job.num_epochs}" if job.epoch else "",
            "" if job.value is None else f"{printable(str(job.metric))} {job.value:.4g}",
            clock(now - job.began),
        )
        for job in jobs
    ]
    if not rows:
        return []
    number, label, epoch, value, clocks = (max(map(cells, column)) for column in zip(*rows))  # noqa: B905
    room = width - (2 + number + 2 + 2 + epoch + 2 + value + 2 + clocks)
    label = min(label, max(room, min(BEST_KEYS, label)))
    return [
        clipped(
            "  ".join(
                [
                    f"  {row[0].rjust(number)}",
                    _left(clipped(row[1], label), label),
                    row[2].ljust(epoch),
                    _left(row[3], value),
                    row[4].rjust(clocks),
                ]
            ).rstrip(),
            width,
        )
        for row in rows
    ]


def _left(text: str, width: int) -> str:
    return text + " " * (width - cells(text))
