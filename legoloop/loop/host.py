"""The host: keeps the plugins in order and calls the stages."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from typing import Any

from legoloop.core.errors import PluginError
from legoloop.core.rng import (
    get_rng_state,
    last_seed,
    preserved_rng,
    seed_generators,
    set_rng_state,
)
from legoloop.loop.order import Edge
from legoloop.loop.plan import Plan
from legoloop.loop.plugin import EpochDriver, ShouldSave, ShouldStop, State
from legoloop.loop.stages import Stage
from legoloop.loop.step import Step

log = logging.getLogger("legoloop")

Call = Callable[..., object]
BATCH_STAGES = (Stage.BATCH_START, Stage.BATCH, Stage.BATCH_END)


class TrainingHost:
    """Runs one training, made of the given plugins.

    ``plugins`` is a list, or a dict that names them. They are checked and put in order here, so
    that a wrong one costs no training; ``host.plan`` tells the outcome. ``seed`` is what the
    generators are seeded with when the training starts; None: what ``ll.seed`` chose last.

    >>> class ThreeBatches:
    ...     def batches(self):
    ...         yield from ((f"batch {n}", 1) for n in range(3))
    >>> class OneEpoch:
    ...     def batch(self, step): print(step.batch)
    ...     def epoch_end(self): return ShouldStop("one epoch is done")
    >>> host = TrainingHost([ThreeBatches(), OneEpoch()])
    >>> host.run()
    batch 0
    batch 1
    batch 2
    >>> host.stop_reason
    'one epoch is done'
    """

    def __init__(
        self,
        plugins: Iterable[object] | Mapping[str, object],
        seed: int | None = None,
        edges: Iterable[Edge] | None = None,
    ) -> None:
        self.plan = Plan.of(plugins, edges)
        self.stop_reason: str | None = None
        self.within: Callable[[], AbstractContextManager[object]] = nullcontext
        self._seed = last_seed() if seed is None else seed
        self._has_run = False
        self._epoch_parts = 0
        self._has_trained = False
        self._saves: list[ShouldSave] = []
        self._restored_rng: State | None = None
        self._interruption: BaseException | None = None
        self._waits = False
        self._before_looking: State | None = None
        self._step = Step()
        self._calls = {stage: self.plan.calls(stage) for stage in Stage}
        self._of_batch = [call for stage in BATCH_STAGES for call in self._calls[stage]]
        self._before_driver, self._after_driver = self._around_driver()

    def run(self) -> None:
        """Train until a plugin asks to stop; a host runs once.

        ::

            train_start
            until a stop is asked for:
                epoch_start
                epoch, and at the driver's turn for each of its batches:
                    batch_start, batch, batch_end
                epoch_end
            train
            train_end
            close, however it ended

        All of it happens inside the context manager that ``within`` makes.
        """
        if self._has_run:
            raise PluginError("this host has run already; a new run takes a new host")
        self._has_run = True
        with self.within(), ExitStack() as closing:
            for plugin in self.plan.plugins.values():
                if callable(close := getattr(plugin, "close", None)):
                    closing.callback(close)
            with self._interruptible():
                self._start()
                while self.stop_reason is None or self._epoch_parts:
                    self._epoch()
                self._train()
                self._report(Stage.TRAIN_END)

    def stop(self, reason: str) -> None:
        """End the training at the next batch; the first reason given is kept."""
        self.stop_reason = self.stop_reason or reason

    def interrupt(self, interruption: BaseException) -> None:
        """Raise the interruption as soon as nothing is left half done; for a signal handler.

        That is after the step, or the save, that is under way; then plugins that define
        ``interrupted()`` may ask for a save. While the run only looks, it is at once.
        """
        self._interruption = interruption
        if not self._waits:
            raise interruption

    def state_dict(self) -> State:
        """Everything that a run with the same plugins needs to go on from here."""
        return {
            "plugins": {
                name: plugin.state_dict()
                for name, plugin in self.plan.plugins.items()
                if hasattr(plugin, "state_dict")
            },
            "epoch_parts": self._epoch_parts,
            "has_trained": self._has_trained,
            "stop_reason": self.stop_reason,
            "rng": get_rng_state(),
        }

    def load_state_dict(self, state: State, strict: bool = True) -> None:
        """Take up what ``state_dict`` gave; the next ``run`` goes on from there.

        Raises PluginError if the states are not those of these plugins. Unless ``strict``, a
        plugin without a saved state starts afresh, the state of one that is gone is dropped, and
        whether to stop is asked anew.
        """
        stateful = {n: p for n, p in self.plan.plugins.items() if hasattr(p, "load_state_dict")}
        saved = state["plugins"]
        if stateful.keys() != saved.keys():
            differ = (
                f"the saved plugins are {', '.join(sorted(saved))}, "
                f"but these are {', '.join(sorted(stateful))}"
            )
            if strict:
                raise PluginError(differ)
            log.warning("%s; those on one side alone start afresh, or are dropped", differ)
        for name in stateful.keys() & saved.keys():
            stateful[name].load_state_dict(saved[name])
        self._epoch_parts = state["epoch_parts"]
        self._has_trained = state["has_trained"]
        self.stop_reason = state["stop_reason"] if strict else None
        self._restored_rng = state["rng"]

    def _start(self) -> None:
        seed_generators(self._seed)
        with preserved_rng():
            self._hear(self._calls[Stage.TRAIN_START])
        if self._restored_rng is not None:
            set_rng_state(self._restored_rng)
            self._restored_rng = None
        self._settle()

    def _epoch(self) -> None:
        """The parts of an epoch; one that goes on from a saved state leaves out those it had."""
        parts: tuple[Callable[[], None], ...] = (
            lambda: self._hear(self._calls[Stage.EPOCH_START]),
            lambda: self._hear(self._before_driver),
            self._batches,
            lambda: self._hear(self._after_driver),
        )
        self._has_trained = False
        with self._undisturbed():
            for part in parts[self._epoch_parts :]:
                part()
                self._epoch_parts += 1
                self._settle()
            if any(map(_saves_when_interrupted, self.plan.plugins.values())):
                self._before_looking = _kept(self.state_dict())
            self._epoch_parts = 0
        self._report(Stage.EPOCH_END)
        self._before_looking = None

    def _batches(self) -> None:
        if self.stop_reason is not None:
            return
        driver: EpochDriver = self.plan.plugins[self.plan.driver]  # type: ignore[assignment]
        step = self._step
        for step.batch, step.size in driver.batches():
            self._hear(self._of_batch, step)
            step.empty()
            if self._saves or self._interruption is not None:
                self._settle()
            if self.stop_reason is not None:
                break

    def _train(self) -> None:
        """Changes the weights, hence heard once; ``train_end`` a resumed run may hear again."""
        if self._has_trained:
            return
        with self._undisturbed():
            self._hear(self._calls[Stage.TRAIN])
            self._has_trained = True
            self._settle()

    def _report(self, stage: Stage) -> None:
        try:
            with preserved_rng():
                self._hear(self._calls[stage])
        except BaseException:
            if self._interruption is not None and self._before_looking is not None:
                self._saves.clear()
                self._leave(self._before_looking)
            raise
        self._settle()

    def _hear(self, calls: list[Call], *given: Any) -> None:
        for call in calls:
            request = call(*given)
            if request is None:
                continue
            if isinstance(request, ShouldStop):
                self.stop(request.reason)
            elif isinstance(request, ShouldSave):
                self._saves.append(request)
            else:
                raise PluginError(
                    f"{getattr(call, '__qualname__', call)} returned {request!r:.60}; a stage "
                    "returns nothing, ShouldStop(reason) or ShouldSave(save)"
                )

    def _settle(self) -> None:
        """Every plugin has heard the stage and no step is under way: save, and end if asked to."""
        with self._undisturbed():
            self._save()
            if self._interruption is not None:
                self._leave()
                raise self._interruption

    def _leave(self, state: State | None = None) -> None:
        """Let plugins save a state before an interruption ends the run; None: that of now."""
        with self._undisturbed():
            for plugin in filter(_saves_when_interrupted, self.plan.plugins.values()):
                self._hear([plugin.interrupted])  # type: ignore[attr-defined]
            self._save(state)

    def _save(self, state: State | None = None) -> None:
        saves, self._saves = self._saves, []
        for asked in saves:
            asked.save(self.state_dict() if state is None else state)

    @contextmanager
    def _interruptible(self) -> Iterator[None]:
        """What fails once an interruption is there is that end: workers hear signals too."""
        try:
            yield
        except Exception as error:
            if self._interruption is None:
                raise
            raise self._interruption from error

    @contextmanager
    def _undisturbed(self) -> Iterator[None]:
        """What happens inside is not left in the middle: an interruption waits."""
        waited, self._waits = self._waits, True
        try:
            yield
        finally:
            self._waits = waited
        if self._interruption is not None and not waited:
            raise self._interruption

    def _around_driver(self) -> tuple[list[Call], list[Call]]:
        """What hears ``epoch`` before the batches of the driver, and what after them."""
        before: list[Call] = []
        after: list[Call] = []
        side = before
        for name, heard in self.plan.heard.items():
            if name == self.plan.driver:
                side = after
            if Stage.EPOCH in heard:
                side.append(heard[Stage.EPOCH])
        return before, after


def _saves_when_interrupted(plugin: object) -> bool:
    return callable(getattr(plugin, "interrupted", None))


def _kept(state: Any) -> Any:
    """A state that stands while plugins go on; no tensor changes while they only look."""
    if isinstance(state, dict):
        return {key: _kept(value) for key, value in state.items()}
    if isinstance(state, list | tuple):
        return type(state)(map(_kept, state))
    return state
