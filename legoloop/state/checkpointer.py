"""When checkpoints are saved, and which of them stay."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from math import isfinite
from pathlib import Path
from typing import Literal

from legoloop.core.arguments import above_zero, at_least
from legoloop.core.atomic_files import backups_in, remove_directory, remove_temporaries
from legoloop.core.errors import ArgumentError, DataError
from legoloop.core.monitor import Monitor, as_list, is_maximized
from legoloop.core.protocols import ScalarSource, TrainingProgress
from legoloop.core.ranks import current_ranks
from legoloop.loop.plugin import ShouldSave, State
from legoloop.loop.step import Step
from legoloop.state.checkpoints import checkpoints_in, verify, write_checkpoint
from legoloop.state.manifest import read_manifest

log = logging.getLogger("legoloop")


class Checkpointer:
    """Saves the host's state in ``<folder>/<step>/``: all that a run needs to resume from there.

    Saves before the first step, which also shows that there is space; after every so many epochs,
    steps and seconds, as far as given; after the last epoch; and when the run is interrupted.
    Nothing is saved later: from the state after the last epoch a run goes through the same end.
    With ``keep_best``, also whenever the metric is evaluated within an epoch. Checkpoints that are
    not to be kept are removed once the new one is on the disk.

    Of several ranks, the first writes; a state is the same for any number of them.

    Read one back with ``host.load_state_dict(read_checkpoint(folder / step))``.

    Args:
        counter (TrainingProgress): counts the epochs and steps.
        folder (str | Path): holds the checkpoints.
        every_epochs (int | None): save after every so many epochs; None: not by epochs.
        every_steps (int | None): save after every so many steps; None: not by steps.
        every_seconds (float | None): save when so many seconds have passed; None: not by time.
        keep_last (int | None): keep so many of the last checkpoints; None: all.
        keep_best (int): keep so many of the best checkpoints by ``metric``.
        metric (str | None): the tag of a scalar that one of the sources reports after an epoch.
        mode (str | None): ``min`` or ``max``; None: as is known of the metric.
        sources (ScalarSource | Iterable[ScalarSource]): report the metric.

    Raises ArgumentError for values out of range, and after an epoch if no source has the metric;
    DataError if a checkpoint cannot be written.

    >>> from legoloop.training.counter import Counter
    >>> Checkpointer(Counter(), "checkpoints", every_steps=0)
    Traceback (most recent call last):
    legoloop.core.errors.ArgumentError: every_steps is 0; give a whole number of at least 1
    """

    supports_ranks = True
    supports_members = True

    def __init__(
        self,
        counter: TrainingProgress,
        folder: str | Path,
        every_epochs: int | None = 1,
        every_steps: int | None = None,
        every_seconds: float | None = None,
        keep_last: int | None = 2,
        keep_best: int = 0,
        metric: str | None = None,
        mode: Literal["min", "max"] | None = None,
        sources: ScalarSource | Iterable[ScalarSource] = (),
    ) -> None:
        counts = {"every_epochs": every_epochs, "every_steps": every_steps, "keep_last": keep_last}
        at_least(1, **{name: number for name, number in counts.items() if number is not None})
        at_least(0, keep_best=keep_best)
        if every_seconds is not None:
            above_zero(every_seconds=every_seconds)
        if keep_best and metric is None:
            raise ArgumentError(
                f"is {keep_best}, but metric is None", argument="keep_best", remedy="give its tag"
            )
        self.counter = counter
        self.folder = Path(folder)
        self.every_epochs = every_epochs
        self.every_steps = every_steps
        self.every_seconds = every_seconds
        self.keep_last = keep_last
        self.keep_best = keep_best
        self.metric = metric
        self.higher_is_better = metric is not None and is_maximized(metric, mode)
        self.sources = as_list(sources)
        self._monitor = metric and Monitor(self.sources, metric, "Checkpointer")
        self._saved: list[SavedCheckpoint] | None = None
        self._newest_step: int | None = None
        self._saved_at = current_ranks().clock()

    def train_start(self) -> ShouldSave | None:
        """Request a save, unless the checkpoint that the run resumes from is here."""
        if not self.counter.steps or not _is_valid(self._current()):
            return ShouldSave(self._save)
        self._newest_step = self.counter.steps
        for older in backups_in(self.folder, self._current().name):
            remove_directory(older)
        self._prune(list(self._read_saved()))  # the process before may have died before it did
        return None

    def batch_end(self, step: Step) -> ShouldSave | None:
        """Request a save, if it is time."""
        if self.every_steps and self.counter.steps % self.every_steps == 0:
            return ShouldSave(self._save)
        if self.every_seconds and current_ranks().clock() - self._saved_at >= self.every_seconds:
            return ShouldSave(self._save)
        return None

    def within_epoch(self) -> ShouldSave | None:
        """Request a save, if it may be one of the best."""
        score = self._monitor.within_epoch() if self._monitor and self.keep_best else None
        return None if score is None else ShouldSave(partial(self._save, score=_if_finite(score)))

    def epoch_end(self) -> ShouldSave:
        """Request a save, if it is time or if the epoch is the last one."""
        score = self._monitor.after_epoch() if self._monitor else None
        is_due = bool(self.every_epochs and self.counter.epochs % self.every_epochs == 0)
        return ShouldSave(
            partial(self._save, score=_if_finite(score)),
            only_at_end=not is_due,
        )

    def interrupted(self) -> ShouldSave | None:
        """Request a save, unless this step is saved already."""
        return None if self._newest_step == self.counter.steps else ShouldSave(self._save)

    def _current(self) -> Path:
        return self.folder / str(self.counter.steps)

    def _save(self, state: State, score: float | None = None) -> None:
        if current_ranks().is_writer:
            self._write(state, score)
        self._newest_step = self.counter.steps
        self._saved_at = current_ranks().clock()

    def _write(self, state: State, score: float | None) -> None:
        if self._saved is None:
            self._saved = list(self._read_saved())
        number = 1 + max((each.number for each in self._saved), default=0)
        if score is None:  # the epoch ends with a step that was evaluated within it
            known = (each.score for each in self._saved if each.folder == self._current())
            score = next(known, None)
        new = SavedCheckpoint(self._current(), number, score)
        scalars = {self.metric: score} if self.metric and score is not None else {}
        write_checkpoint(new.folder, state, number, scalars)
        others = [
            each for each in self._saved if each.folder != new.folder and each.folder.exists()
        ]
        self._prune([*others, new])

    def _read_saved(self) -> Iterator[SavedCheckpoint]:
        """What an earlier process saved, without the damaged where old ones are removed."""
        for checkpoint in checkpoints_in(self.folder):
            try:
                manifest = read_manifest(checkpoint)
                if self.keep_last is not None:
                    verify(checkpoint)
            except DataError:
                continue
            score = manifest.scalars.get(self.metric) if self.metric else None
            yield SavedCheckpoint(checkpoint, manifest.number, score)

    def _prune(self, saved: Sequence[SavedCheckpoint]) -> None:
        self._saved = select_to_keep(saved, self.keep_last, self.keep_best, self.higher_is_better)
        to_keep = {each.folder for each in self._saved}
        for checkpoint in checkpoints_in(self.folder) if self.keep_last is not None else ():
            if checkpoint not in to_keep:
                try:
                    remove_directory(checkpoint)
                except OSError as error:
                    log.warning("%s cannot be removed (%s)", checkpoint, error.strerror)
        # Of a process that was killed, or of a removal that was refused.
        remove_temporaries(self.folder)


@dataclass(frozen=True)
class SavedCheckpoint:
    """A checkpoint on the disk: its place in the order of writing, its score if it has one."""

    folder: Path
    number: int
    score: float | None = None


def select_to_keep(
    saved: Sequence[SavedCheckpoint], last: int | None, best: int, higher_is_better: bool
) -> list[SavedCheckpoint]:
    """The ``last`` that were written, None: all, and the ``best`` by score; the oldest first.

    Of equally good ones the earlier is better.

    >>> scores = enumerate([0.7, 0.9, 0.8, 0.6])
    >>> saved = [SavedCheckpoint(Path(str(n)), n, score) for n, score in scores]
    >>> [each.number for each in select_to_keep(saved, last=1, best=1, higher_is_better=True)]
    [1, 3]
    """
    ordered = sorted(saved, key=lambda each: each.number)
    if last is None:
        return ordered
    scored = [(each.score, each) for each in ordered if each.score is not None]
    scored.sort(key=lambda pair: pair[0], reverse=higher_is_better)
    chosen = {*ordered[-last:], *(each for _, each in scored[:best])}
    return [each for each in ordered if each in chosen]


def _is_valid(checkpoint: Path) -> bool:
    try:
        verify(checkpoint)
    except DataError:
        return False
    return True


def _if_finite(score: float | None) -> float | None:
    return score if score is not None and isfinite(score) else None
