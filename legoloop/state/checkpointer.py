"""When checkpoints are saved, and which of them stay."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from math import isfinite
from pathlib import Path
from time import monotonic
from typing import Literal

from legoloop.core.arguments import at_least
from legoloop.core.atomic_files import remove_folder, remove_temporaries, set_aside
from legoloop.core.errors import ArgumentError, DataError
from legoloop.core.monitor import is_maximized, listed, scalar
from legoloop.core.protocols import Source, TrainingProgress
from legoloop.loop.plugin import ShouldSave, State
from legoloop.loop.step import Step
from legoloop.state.checkpoints import checkpoints_in, verify, write_checkpoint
from legoloop.state.manifest import read_manifest

log = logging.getLogger("legoloop")


class Checkpointer:
    """Keeps the host's state in ``<folder>/<step>/``: all that a run needs to go on from there.

    Saves before the first step, which also shows that there is room; after every so many epochs,
    steps and seconds, as far as given; after the last epoch; and when the run is interrupted.
    Nothing is saved later: from the state after the last epoch a run goes through the same end.

    The last ``keep_last`` stay, None: all; and the ``keep_best`` by ``metric``, a scalar that one
    of the sources reports after an epoch. ``mode``, min or max, may be left out for a metric that
    is known. Others go once the new one is on the disk.

    Read one back with ``host.load_state_dict(read_checkpoint(folder / step))``. Raises
    ArgumentError for values out of range, and after an epoch if no source has the metric;
    DataError if a checkpoint cannot be written.

    >>> from legoloop.training.counter import Counter
    >>> Checkpointer(Counter(), "checkpoints", every_steps=0)
    Traceback (most recent call last):
    legoloop.core.errors.ArgumentError: every_steps is 0; give a whole number of at least 1
    """

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
        sources: Source | Iterable[Source] = (),
    ) -> None:
        counts = {"every_epochs": every_epochs, "every_steps": every_steps, "keep_last": keep_last}
        at_least(1, **{name: number for name, number in counts.items() if number is not None})
        at_least(0, keep_best=keep_best)
        if every_seconds is not None and not every_seconds > 0:
            raise ArgumentError(
                f"is {every_seconds}", argument="every_seconds", remedy="give a number above 0"
            )
        if keep_best and metric is None:
            raise ArgumentError(
                f"is {keep_best}, but of which metric? give its tag", argument="keep_best"
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
        self.sources = listed(sources)
        self._kept: list[Kept] | None = None
        self._newest_step: int | None = None
        self._saved_at = monotonic()

    def train_start(self) -> ShouldSave | None:
        """Ask for the state, unless what the run goes on from is here."""
        if not self.counter.steps or not _is_whole(self._here()):
            return ShouldSave(self._save)
        self._newest_step = self.counter.steps
        for older in set_aside(self.folder, self._here().name):
            remove_folder(older)
        self._prune(list(self._found()))  # the process before may not have come to it
        return None

    def batch_end(self, step: Step) -> ShouldSave | None:
        """Ask for the state, if it is time."""
        if self.every_steps and self.counter.steps % self.every_steps == 0:
            return ShouldSave(self._save)
        if self.every_seconds and monotonic() - self._saved_at >= self.every_seconds:
            return ShouldSave(self._save)
        return None

    def epoch_end(self) -> ShouldSave:
        """Ask for the state, to save it if it is time, or if it is the last."""
        save = partial(self._save, score=self._score())
        if self.every_epochs and self.counter.epochs % self.every_epochs == 0:
            return ShouldSave(save)
        return ShouldSave(partial(_if_last, save))

    def interrupted(self) -> ShouldSave | None:
        """Ask for the state, unless one of this step is here, which leads to the same end."""
        return None if self._newest_step == self.counter.steps else ShouldSave(self._save)

    def _here(self) -> Path:
        return self.folder / str(self.counter.steps)

    def _save(self, state: State, score: float | None = None) -> None:
        if self._kept is None:
            self._kept = list(self._found())
        number = 1 + max((each.number for each in self._kept), default=0)
        new = Kept(self._here(), number, score)
        scalars = {self.metric: score} if self.metric and score is not None else {}
        write_checkpoint(new.folder, state, number, scalars)
        self._newest_step = self.counter.steps
        self._saved_at = monotonic()
        still = [each for each in self._kept if each.folder != new.folder and each.folder.exists()]
        self._prune([*still, new])

    def _found(self) -> Iterator[Kept]:
        """What an earlier process kept; where old ones go, a damaged one takes nobody's place."""
        for checkpoint in checkpoints_in(self.folder):
            try:
                manifest = read_manifest(checkpoint)
                if self.keep_last is not None:
                    verify(checkpoint)
            except DataError:
                continue
            score = manifest.scalars.get(self.metric) if self.metric else None
            yield Kept(checkpoint, manifest.number, score)

    def _prune(self, kept: Sequence[Kept]) -> None:
        self._kept = select_to_keep(kept, self.keep_last, self.keep_best, self.higher_is_better)
        stay = {each.folder for each in self._kept}
        for checkpoint in checkpoints_in(self.folder) if self.keep_last is not None else ():
            if checkpoint not in stay:
                try:
                    remove_folder(checkpoint)
                except OSError as error:
                    log.warning("%s cannot be removed (%s)", checkpoint, error.strerror)
        remove_temporaries(
            self.folder
        )  # of a process that was killed; of a removal that was refused

    def _score(self) -> float | None:
        if self.metric is None:
            return None
        score = scalar(self.sources, self.metric, "the keeping of checkpoints")
        return score if isfinite(score) else None


@dataclass(frozen=True)
class Kept:
    """A checkpoint that is there: its place in the order of writing, its score if it has one."""

    folder: Path
    number: int
    score: float | None = None


def select_to_keep(
    kept: Sequence[Kept], last: int | None, best: int, higher_is_better: bool
) -> list[Kept]:
    """The ``last`` that were written, None: all, and the ``best`` by score; the oldest first.

    Of equally good ones the earlier is better.

    >>> kept = [Kept(Path(str(n)), n, score) for n, score in enumerate([0.7, 0.9, 0.8, 0.6])]
    >>> [each.number for each in select_to_keep(kept, last=1, best=1, higher_is_better=True)]
    [1, 3]
    """
    ordered = sorted(kept, key=lambda each: each.number)
    if last is None:
        return ordered
    scored = [(each.score, each) for each in ordered if each.score is not None]
    scored.sort(key=lambda pair: pair[0], reverse=higher_is_better)
    chosen = {*ordered[-last:], *(each for _, each in scored[:best])}
    return [each for each in ordered if each in chosen]


def _is_whole(checkpoint: Path) -> bool:
    try:
        verify(checkpoint)
    except DataError:
        return False
    return True


def _if_last(save: Callable[[State], None], state: State) -> None:
    if state["stop_reason"] is not None:
        save(state)
