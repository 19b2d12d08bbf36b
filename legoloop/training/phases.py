"""What holds from which epoch."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Protocol

from torch import nn

from legoloop.core.arguments import at_least
from legoloop.core.errors import ArgumentError
from legoloop.core.protocols import Batch, TrainingProgress
from legoloop.core.suggestions import did_you_mean
from legoloop.core.text import shown
from legoloop.loop.plugin import State
from legoloop.loop.step import Step
from legoloop.training.freezing import FreezableParts
from legoloop.training.step.descent import GradientDescent, Phase

log = logging.getLogger("legoloop")


class PhaseStream(Protocol):
    """An endless stream that knows how many batches it takes, such as a BatchStream."""

    position: int

    @property
    def samples(self) -> int:
        """The number of samples of a pass."""
        ...

    def __next__(self) -> Batch: ...

    def num_batches_for(self, samples: int, position: int = 0) -> int:
        """The number of batches that serve so many samples."""
        ...

    def state_dict(self) -> State: ...

    def load_state_dict(self, state: State) -> None: ...

    def close(self) -> None: ...


@dataclass(frozen=True)
class PhaseOfTraining:
    """From which epoch it holds, and what; of what is None, that of the phase before."""

    from_epoch: int = 0
    data: str | None = None
    frozen: tuple[str, ...] | None = None
    descent: str | None = None


class Phases:
    """Says what holds from which epoch: the training data, what is frozen, which descent steps.

    Each phase has a name and gives ``from_epoch``, and any of

    - ``data``: the name of the data set that is trained on. Each goes on where it ended when it was
      trained on last. The epoch driver is given the phases as its ``train_iterator``.
    - ``frozen``: patterns for names of parameters and buffers, such as ``[backbone.*]``; none for
      ``[]``. A frozen parameter gets no gradient, and a module with a frozen buffer is in
      evaluation mode.
    - ``descent``: the name of one of ``descents``, which makes the steps.

    What a phase leaves out stays as it was; the first one begins with the data set ``train`` and
    nothing frozen. A run that is resumed is in the phase of its epoch.

    Args:
        counter: counts the epochs.
        model: what is frozen.
        loop_iters: the streams by name.
        phases: by name; the first begins with ``from_epoch: 0``.
        descents: by name; without any, a descent of its own is among the plugins.

    Raises ArgumentError for a phase that has another key, that begins with another, or that names
    what is not there.

    >>> import torch
    >>> from legoloop.data.datasets import ColumnDataset
    >>> from legoloop.data.loader_config import LoaderConfig
    >>> from legoloop.data.streams import BatchStream
    >>> from legoloop.training.counter import Counter
    >>> streams = {
    ...     name: BatchStream(ColumnDataset({"x": torch.ones(n)}), name, 0, LoaderConfig(n))
    ...     for name, n in {"train": 2, "large": 3}.items()
    ... }
    >>> model = nn.ModuleDict({"body": nn.Linear(1, 1), "head": nn.Linear(1, 1)})
    >>> counter = Counter()
    >>> phases = Phases(counter, model, streams, {
    ...     "head": {"from_epoch": 0, "frozen": ["body.*"]},
    ...     "all": {"from_epoch": 1, "frozen": [], "data": "large"},
    ... })
    >>> phases.train_start()
    >>> model["body"].weight.requires_grad, len(next(phases)["x"])
    (False, 2)
    >>> counter.epoch_end(); phases.epoch_start()
    >>> model["body"].weight.requires_grad, len(next(phases)["x"])
    (True, 3)
    """

    supports_ranks = True
    trained_alone = "changes what is trained, and on what, from epoch to epoch"

    def __init__(
        self,
        counter: TrainingProgress,
        model: nn.Module,
        loop_iters: Mapping[str, PhaseStream],
        phases: Mapping[str, Mapping[str, Any]],
        descents: Mapping[str, GradientDescent] | None = None,
    ) -> None:
        self.counter = counter
        self.descents = dict(descents or {})
        self.phases = _ordered(phases)
        self._frozen = {}
        for name, phase in self.phases.items():
            _check_name(name, "data", phase.data, loop_iters)
            _check_name(name, "descent", phase.descent, self.descents)
            if phase.frozen:
                self._frozen[name] = _parts(name, model, phase.frozen)
        unused = self.descents.keys() - {phase.descent for phase in self.phases.values()}
        if unused:
            raise ArgumentError(f"has '{min(unused)}', which no phase names", argument="descents")
        used = {phase.data for phase in self.phases.values() if phase.data is not None}
        self.streams = {name: loop_iters[name] for name in sorted(used)}
        self._is_frozen = False

    @property
    def current(self) -> str:
        """The name of the phase that holds."""
        return self._at(self.counter.epochs)

    @property
    def on_phase(self) -> Callable[[Phase], object] | None:
        """What the descents call at the end of each part of a step, for timing."""
        return next((descent.on_phase for descent in self.descents.values()), None)

    @on_phase.setter
    def on_phase(self, on_phase: Callable[[Phase], object] | None) -> None:
        for descent in self.descents.values():
            descent.on_phase = on_phase

    def train_start(self) -> None:
        """Begin with the phase of the epoch that a resumed run is in."""
        for descent in self.descents.values():
            descent.train_start()
        self._freeze()
        self._is_frozen = False

    def epoch_start(self) -> None:
        """Go on to the next phase if it is time."""
        phase = self.phases[self.current]
        if phase.from_epoch == self.counter.epochs:
            log.info("epoch %d: phase '%s' begins", self.counter.epochs + 1, self.current)
        self._freeze()

    def batch_start(self, step: Step) -> None:
        """Freeze what a descent has put in training mode when the training started."""
        if not self._is_frozen:
            self._freeze()
            self._is_frozen = True

    def batch(self, step: Step) -> None:
        """Let the descent of the phase make its step, if the phases have any."""
        name = self.phases[self.current].descent
        if name is not None:
            self.descents[name].batch(step)

    def train(self) -> None:
        for descent in self.descents.values():
            descent.train()

    def close(self) -> None:
        """Thaw: another run begins with a model that is trainable. Stop the workers."""
        for parts in self._frozen.values():
            parts.set_trainable(True)
        for stream in self.streams.values():
            stream.close()

    def __iter__(self) -> Iterator[Batch]:
        return self

    def __next__(self) -> Batch:
        """The next batch of the data set of the phase."""
        return next(self._stream(self.current))

    @property
    def samples(self) -> int:
        """The number of samples of a pass over the data set of the phase."""
        return self._stream(self.current).samples

    @property
    def position(self) -> int:
        """The number of batches that were served."""
        return sum(stream.position for stream in self.streams.values())

    def lengths(self, num_epochs: int, epoch_size: int | None) -> list[int]:
        """The number of batches of each of the first epochs, computed without reading any.

        Args:
            num_epochs: how many.
            epoch_size: samples per epoch; None: a pass over the data set of the phase.
        """
        positions = dict.fromkeys(self.streams, 0)
        lengths = []
        for epoch in range(num_epochs):
            name = self.phases[self._at(epoch)].data
            assert name is not None, "the first phase has one"
            stream = self.streams[name]
            size = stream.samples if epoch_size is None else epoch_size
            lengths.append(stream.num_batches_for(size, positions[name]))
            positions[name] += lengths[-1]
        return lengths

    def num_batches_for(self, samples: int, position: int = 0) -> int:
        """The number of batches, from a position on, that it takes to serve so many samples.

        Raises ArgumentError if phases differ in their data set: they begin by epochs.
        """
        if len(self.streams) > 1:
            raise ArgumentError(
                "the number of batches that serve so many samples is not known for phases with "
                "several data sets; give the number of steps"
            )
        return self._stream(self.current).num_batches_for(samples, position)

    def state_dict(self) -> State:
        """The states of the streams; those of the descents are saved as what a plugin holds."""
        streams = {name: stream.state_dict() for name, stream in self.streams.items()}
        return {"position": self.position, "streams": streams}

    def load_state_dict(self, state: State) -> None:
        for name, stream in self.streams.items():
            if name in state["streams"]:
                stream.load_state_dict(state["streams"][name])

    def _at(self, epoch: int) -> str:
        begun = [name for name, phase in self.phases.items() if phase.from_epoch <= epoch]
        return begun[-1]

    def _stream(self, name: str) -> PhaseStream:
        data = self.phases[name].data
        assert data is not None, "the first phase has one"
        return self.streams[data]

    def _freeze(self) -> None:
        for parts in self._frozen.values():
            parts.set_trainable(True)
        if (frozen := self._frozen.get(self.current)) is not None:
            frozen.set_trainable(False)


KEYS = tuple(field.name for field in fields(PhaseOfTraining))


def _ordered(given: Mapping[str, Mapping[str, Any]]) -> dict[str, PhaseOfTraining]:
    """By the epochs at which they begin, each with what it takes over from the one before."""
    read = {name: _phase(name, keys) for name, keys in given.items()}
    if not read:
        raise ArgumentError("is empty", argument="phases", remedy="give at least one phase")
    ordered = dict(sorted(read.items(), key=lambda item: item[1].from_epoch))
    first = next(iter(ordered))
    if ordered[first].from_epoch > 0:
        raise ArgumentError(
            f"is {ordered[first].from_epoch}, but no phase begins before",
            argument=f"phases.{first}.from_epoch",
            remedy="let the first one begin at 0",
        )
    before = PhaseOfTraining(data="train", frozen=())
    at: dict[int, str] = {}
    for name, phase in ordered.items():
        if phase.from_epoch in at:
            raise ArgumentError(
                f"is {phase.from_epoch}, and so is that of '{at[phase.from_epoch]}'",
                argument=f"phases.{name}.from_epoch",
            )
        at[phase.from_epoch] = name
        taken = {key: getattr(phase, key) for key in KEYS if getattr(phase, key) is not None}
        ordered[name] = before = replace(before, **taken)
    return ordered


def _phase(name: str, given: Mapping[str, Any]) -> PhaseOfTraining:
    path = f"phases.{name}"
    for key in given:
        if key not in KEYS:
            raise ArgumentError(
                "is no part of a phase", argument=f"{path}.{key}", remedy=did_you_mean(key, KEYS)
            )
    if "from_epoch" not in given:
        raise ArgumentError("is missing", argument=f"{path}.from_epoch", remedy="give an epoch")
    at_least(0, **{f"{path}.from_epoch": given["from_epoch"]})
    frozen = given.get("frozen")
    if frozen is not None:
        frozen = [frozen] if isinstance(frozen, str) else frozen
        are_patterns = isinstance(frozen, list | tuple) and all(isinstance(p, str) for p in frozen)
        if not are_patterns:
            raise ArgumentError(
                f"is {shown(frozen)}",
                argument=f"{path}.frozen",
                remedy="give patterns, such as [backbone.*]",
            )
        frozen = tuple(frozen)
    return PhaseOfTraining(**{**given, "frozen": frozen})


def _check_name(phase: str, key: str, name: str | None, known: Mapping[str, Any]) -> None:
    if name is not None and not (isinstance(name, str) and name in known):
        raise ArgumentError(
            f"is '{name}'", argument=f"phases.{phase}.{key}", remedy=did_you_mean(str(name), known)
        )


def _parts(phase: str, model: nn.Module, patterns: tuple[str, ...]) -> FreezableParts:
    try:
        return FreezableParts(model, patterns)
    except ArgumentError as error:
        raise ArgumentError(
            error.problem, argument=f"phases.{phase}.frozen", remedy=error.remedy
        ) from None
