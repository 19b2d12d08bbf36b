"""Progress of the training on the terminal."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any, Protocol

from legoloop.core.errors import ArgumentError
from legoloop.core.metric_direction import higher_is_better, is_best
from legoloop.core.on_evaluation import EvaluationHook
from legoloop.core.output_streams import tolerant_output
from legoloop.core.protocols import Scalars, ScalarSource, TrainingProgress
from legoloop.core.rng import preserved_rng
from legoloop.core.suggestions import did_you_mean
from legoloop.core.terminal import (
    clipped,
    clock,
    countdown,
    has_colours,
    is_terminal,
    width_of,
)
from legoloop.core.text import printable
from legoloop.loop.plugin import State
from legoloop.loop.step import Step
from legoloop.output.scalars.scalar_table import (
    Cell,
    Column,
    RowTable,
    left_out,
    number,
    small_table,
)
from legoloop.output.scalars.scalar_writer import ScalarWriter
from legoloop.output.scalars.throttle import Throttle

BAR_INTERVAL = 0.1
"""Seconds, at least, between two updates of the bar."""
MAX_BAR_FRACTION = 0.002
"""The share of the time that they may take: on a slow terminal the bar moves less often."""
ESTIMATE_AFTER = 10.0
"""Seconds of the first epoch after which the time left is estimated; before, it means little."""
FINAL = "final/"
"""What the tags of the evaluation at the end begin with, beside the name of a data set."""
HINT = "loggers.progress.columns=[…] chooses"


class HasSamples(Protocol):
    """A stream that knows how many samples a pass has, such as a BatchStream."""

    @property
    def samples(self) -> int:
        """The number of samples of a pass."""
        ...


class Progress(ScalarWriter):
    """Prints a table with a row for every report; on a terminal it also shows a progress bar.

    The columns are epoch, step, loss, the monitored metric, those of the evaluated data sets other
    than ``train``, learning rate and time; a narrow terminal has fewer. The best value of a metric
    so far is marked with ``*``. What is reported at the end is a table of its own.

    The bar shows the loss, the samples per second of the training, and the estimated time left. It
    reads the sources at most ten times a second, and only then waits for the device. Without a
    terminal there is no bar, lines have 100 characters, or ``COLUMNS``, and metrics are read only
    when a row is printed.

    Args:
        counter: tells step and epoch.
        sources: one or several plugins with ``scalars()``.
        num_epochs: of the training; None: unknown, there is no estimate.
        epoch_size: samples of an epoch; None: those of a pass of ``stream``.
        stream: what an epoch without ``epoch_size`` passes over once; None: unknown.
        every_steps: also print after every so many steps; None: only at the end of epochs.
        columns: tags of the scalars that are shown between step and time, with wildcards
            (``val/*``); None: those above.
        monitor: the tag of the metric that is shown first, whatever the width; None: the first one
            of the evaluated data sets of which it is known whether a higher value is better.

    Raises:
        ArgumentError: for a source without ``scalars()``, ``every_steps`` below 1, and after the
            first epoch if one of the ``columns`` is no scalar that was reported.
        DataError: if two sources report the same tag.

    >>> from legoloop.training.counter import Counter
    >>> class Half:
    ...     def scalars(self): return {"val/accuracy": 0.5}
    >>> progress = Progress(Counter(), Half(), num_epochs=8)
    >>> progress.train_start(); progress.epoch_end()
    epoch   step  val/accuracy     time
      0/8      0        0.5000*   0.0 s
    """

    def __init__(
        self,
        counter: TrainingProgress,
        sources: ScalarSource | Iterable[ScalarSource],
        num_epochs: int | None = None,
        epoch_size: int | None = None,
        stream: HasSamples | None = None,
        every_steps: int | None = None,
        columns: Sequence[str] | None = None,
        monitor: str | None = None,
    ) -> None:
        super().__init__(counter, sources, every_steps)
        self.num_epochs = num_epochs
        self.epoch_size = getattr(stream, "samples", None) if epoch_size is None else epoch_size
        self.columns = None if columns is None else list(columns)
        self.monitor = monitor
        self._seconds_before = 0.0  # of earlier attempts
        self._began = self._now = time.monotonic()
        self._samples = 0  # of the epoch under way
        self._trains_since = 0, self._now  # samples, time
        self._speed: float | None = None  # of the last epoch
        self._bar: Any = None
        self._is_over = False
        self._throttle = Throttle(MAX_BAR_FRACTION, BAR_INTERVAL)
        self._table = RowTable()
        self._best: dict[str, tuple[float, int]] = {}  # the value and its epoch, by tag
        self._shown: list[str] = []  # the tags that have a column
        self._known: set[str] = set()  # those of the columns that were found
        self._has_told_what_is_left_out = False

    def train_start(self) -> None:
        super().train_start()
        self._seconds_before = self._seconds
        self._began = self._now = time.monotonic()
        self._trains_since = self._samples, self._now
        self._table = RowTable(has_colours(sys.stdout))
        if is_terminal(sys.stdout):
            from legoloop.output.scalars.progress_bar import ProgressBar

            self._bar = ProgressBar()
            self._throttle = Throttle(MAX_BAR_FRACTION, BAR_INTERVAL)
            self._show_epoch()

    def epoch_start(self) -> None:
        self._is_over = False
        self._now = time.monotonic()
        self._trains_since = self._samples, self._now
        self._show_epoch()

    def batch_end(self, step: Step) -> None:
        self._samples += step.size
        self._now = time.monotonic()
        if self._bar is not None and self._throttle.is_due():
            self._update_bar()
        super().batch_end(step)

    def epoch_end(self) -> None:
        self._speed, self._samples = self._samples_per_second(), 0
        self._trains_since = 0, self._now
        super().epoch_end()

    def write(self, step: int, scalars: Scalars) -> None:
        """Print a row, and what was measured at the end as a table of its own."""
        self._now = time.monotonic()
        at_the_end = {
            tag: value
            for tag, value in scalars.items()
            if self._is_over and "/" in tag and not _is_loss(tag) and not _is_rate(tag)
        }
        row = {tag: value for tag, value in scalars.items() if tag not in at_the_end}
        if row:
            self._print_row(step, row)
        if at_the_end:
            self._print_final(at_the_end)

    def train(self) -> None:
        """The training is over, perhaps before ``num_epochs``: there is no time left to show."""
        self._is_over = True

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def state_dict(self) -> State:
        return {
            **super().state_dict(),
            "seconds": self._seconds,
            "samples": self._samples,
            "best": dict(self._best),
            "shown": list(self._shown),
            "is_over": self._is_over,
        }

    def load_state_dict(self, state: State) -> None:
        super().load_state_dict(state)
        self._seconds_before, self._samples = state["seconds"], state["samples"]
        self._best = dict(state.get("best", {}))
        self._shown = list(state.get("shown", []))
        self._is_over = state.get("is_over", False)
        self._began = self._now

    def _print_row(self, step: int, scalars: Scalars) -> None:
        is_epoch = self._samples == 0
        epoch = self.counter.epochs + (not is_epoch)
        tags = self._chosen(scalars, is_epoch)
        # A report in mid-epoch has fewer scalars, and leaves the others' cells empty.
        self._shown = list(dict.fromkeys([*self._shown, *tags]))
        width = width_of(sys.stdout)
        cells = {
            "epoch": Cell(self._epoch(epoch)),
            "step": Cell(str(step)),
            **{tag: self._cell(tag, scalars[tag], epoch) for tag in tags},
            "time": Cell(clock(self._seconds)),
        }
        if is_epoch and not self._has_told_what_is_left_out:
            self._has_told_what_is_left_out = True
            if others := [tag for tag in scalars if tag not in tags]:
                self._print(self._table.faint(left_out(others, HINT, width)))
        for line in self._table.lines(cells, self._columns(), width):
            self._print(line)

    def _cell(self, tag: str, value: float, epoch: int) -> Cell:
        is_marked = self._is_marked(tag) and is_best(tag, value, self._best.get(tag, (None,))[0])
        if is_marked:
            self._best[tag] = value, epoch
        return Cell(f"{value:.3g}" if _is_rate(tag) else number(value), is_marked)

    def _columns(self) -> list[Column]:
        """Those of the table, and which of them a narrow terminal keeps."""
        main = self._main(self._shown)
        shown = [
            Column(
                tag,
                importance=1 if tag == main else self._importance(tag),
                width=6 if higher_is_better(tag) else 8,
                is_marked=self._is_marked(tag),
            )
            for tag in self._shown
        ]
        if self.columns is None:
            shown.sort(key=lambda column: self._place(column.title, main))
        last = self.counter.epochs if self.num_epochs is None else self.num_epochs
        return [
            Column("epoch", importance=0, width=len(self._epoch(last))),
            Column("step", importance=5, width=5),
            *shown,
            Column("time", importance=3, width=6),
        ]

    def _chosen(self, scalars: Scalars, is_epoch: bool) -> list[str]:
        """The tags that are shown; raises ArgumentError for a pattern that an epoch's end lacks."""
        if self.columns is None:
            return [tag for tag in scalars if self._is_usual(tag)]
        chosen: dict[str, None] = {}
        for pattern in self.columns:
            matching = [tag for tag in scalars if fnmatchcase(tag, pattern)]
            is_awaited = any(
                isinstance(source, EvaluationHook) and source.is_awaited for source in self.sources
            )
            if is_epoch and not matching and pattern not in self._known and not is_awaited:
                raise ArgumentError(
                    f"has '{pattern}', which no source reports after an epoch",
                    argument="loggers.progress.columns",
                    remedy=did_you_mean(pattern, scalars),
                )
            chosen.update(dict.fromkeys(matching))
            if matching:
                self._known.add(pattern)
        return list(chosen)

    def _is_usual(self, tag: str) -> bool:
        """Whether it is shown unless columns are chosen."""
        if tag == self.monitor or _is_rate(tag) or _is_loss(tag):
            return True
        dataset, has_dataset, _ = tag.partition("/")
        source = self._source_of_tag.get(tag)
        is_evaluated = source is not None and isinstance(self.sources[source], EvaluationHook)
        is_metric = is_evaluated or higher_is_better(tag) is not None
        return bool(has_dataset) and dataset != "train" and is_metric

    def _is_marked(self, tag: str) -> bool:
        is_measured = tag == self.monitor or ("/" in tag and not _is_loss(tag))
        return is_measured and higher_is_better(tag) is not None

    def _main(self, tags: Iterable[str]) -> str | None:
        """The metric that the run is about: the monitored one, else the first that may be."""
        tags = list(tags)
        if self.monitor in tags:
            return self.monitor
        measured = [tag for tag in tags if self._is_marked(tag)]
        return next(iter(measured), None)

    def _importance(self, tag: str) -> int:
        if self.columns is not None:
            return 4
        if _is_loss(tag):
            return 2
        if _is_rate(tag):
            return 6
        return 7 if higher_is_better(tag) is None else 4

    def _place(self, tag: str, main: str | None) -> int:
        if _is_loss(tag):
            return 0
        return 1 if tag == main else 3 if _is_rate(tag) else 2

    def _print_final(self, scalars: Scalars) -> None:
        """A row a data set; then the best of what the run is about."""
        main = self._main(self._shown)
        about = "" if main is None else main.rpartition("/")[2]
        rows: dict[str, dict[str, str]] = {}
        by_weight = sorted(scalars, key=lambda tag: _weight(tag.rpartition("/")[2], about))
        for tag in scalars:  # in the order of the data sets
            rows.setdefault(tag.removeprefix(FINAL).rpartition("/")[0], {})
        for tag in by_weight:
            dataset, _, metric = tag.removeprefix(FINAL).rpartition("/")
            rows[dataset][metric] = number(scalars[tag])
        heading, *lines = small_table("final", rows, width_of(sys.stdout))
        self._print("")
        self._print(self._table.faint(heading))
        for line in lines:
            self._print(line)
        facts = []
        if main in self._best:
            value, epoch = self._best[main]
            facts.append(f"best {printable(main)} {number(value)} after epoch {epoch}")
        if facts := [*facts, *_format_speed(self._speed)]:
            self._print(clipped("; ".join(facts), width_of(sys.stdout)))

    def _print(self, line: str) -> None:
        if self._bar is None:
            with tolerant_output():
                print(line, flush=True)
        else:
            self._bar.print(line)

    @property
    def _seconds(self) -> float:
        """Of the training, up to the last time that the clock was read."""
        return self._seconds_before + (self._now - self._began)

    def _samples_per_second(self) -> float | None:
        samples, since = self._trains_since
        trained, seconds = self._samples - samples, self._now - since
        return trained / seconds if trained and seconds else None

    def _time_left(self) -> list[str]:
        """An estimate from the epochs so far, once there is one, or a part that says enough."""
        whole = self.counter.epochs
        done = whole + (self._samples / self.epoch_size if self.epoch_size else 0)
        is_known = not self._is_over and (whole > 0 or self._seconds >= ESTIMATE_AFTER)
        if not is_known or self.num_epochs is None or not 0 < done < self.num_epochs:
            return []
        return [f"{countdown(self._seconds / done * (self.num_epochs - done))} left"]

    def _show_epoch(self) -> None:
        if self._bar is not None:
            self._show([])

    def _update_bar(self) -> None:
        with self._throttle.timed():
            with preserved_rng():
                scalars = {tag: v for source in self.sources for tag, v in source.scalars().items()}
            losses = {tag: value for tag, value in scalars.items() if _is_loss(tag)}
            speed = _format_speed(self._samples_per_second())
            self._show([*_format_scalars(losses), *speed, *self._time_left()])

    def _show(self, columns: list[str]) -> None:
        epoch = f"epoch {self._epoch(self.counter.epochs + 1)}"
        self._bar.show(epoch, self._samples, self.epoch_size, "  ".join(columns))

    def _epoch(self, number: int) -> str:
        return f"{number}" + ("" if self.num_epochs is None else f"/{self.num_epochs}")


def _is_loss(tag: str) -> bool:
    """Of the training: the loss, or one of several."""
    return tag == "loss" or tag.startswith("loss/")


def _is_rate(tag: str) -> bool:
    return tag == "lr" or tag.startswith("lr/")


def _weight(metric: str, about: str) -> int:
    """The place of a metric among others: first what the run is about, last what is unknown."""
    return 0 if metric == about else 1 if higher_is_better(metric) is not None else 2


def _format_scalars(scalars: Mapping[str, float]) -> list[str]:
    return [f"{printable(tag)} {float(value):.4g}" for tag, value in scalars.items()]


def _format_speed(samples_per_second: float | None) -> list[str]:
    return [] if samples_per_second is None else [f"{samples_per_second:.0f} samples/s"]
