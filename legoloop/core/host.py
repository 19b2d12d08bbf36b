"""The host: keeps the plugins in order and calls the stages."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from typing import Any

from legoloop.core.errors import PluginError
from legoloop.core.plan import Plan
from legoloop.core.plugin import EpochDriver, ShouldSave, ShouldStop, State
from legoloop.core.rng import (
    chosen_seed,
    get_rng_state,
    preserved_rng,
    seed_generators,
    set_rng_state,
)
from legoloop.core.stages import Stage
from legoloop.core.step import Step

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
        self, plugins: Iterable[object] | Mapping[str, object], seed: int | None = None
    ) -> None:
        self.plan = Plan.of(plugins)
        self.stop_reason: str | None = None
        self._seed = chosen_seed() if seed is None else seed
        self._has_run = False
        self._epoch_parts = 0
        self._saves: list[ShouldSave] = []
        self._restored_rng: State | None = None
        self._step = Step()
        self._calls = {stage: self.plan.calls(stage) for stage in Stage}
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
        """
        if self._has_run:
            raise PluginError("this host has run already; a new run takes a new host")
        self._has_run = True
        with ExitStack() as closing:
            for plugin in self.plan.plugins.values():
                if callable(close := getattr(plugin, "close", None)):
                    closing.callback(close)
            self._start()
            while self.stop_reason is None:
                self._epoch()
            self._hear(self._calls[Stage.TRAIN])
            self._save()
            self._report(Stage.TRAIN_END)

    def stop(self, reason: str) -> None:
        """End the training at the next batch; the first reason given is kept."""
        self.stop_reason = self.stop_reason or reason

    def state_dict(self) -> State:
        """Everything that a run with the same plugins needs to go on from here."""
        return {
            "plugins": {
                name: plugin.state_dict()
                for name, plugin in self.plan.plugins.items()
                if hasattr(plugin, "state_dict")
            },
            "epoch_parts": self._epoch_parts,
            "stop_reason": self.stop_reason,
            "rng": get_rng_state(),
        }

    def load_state_dict(self, state: State) -> None:
        """Take up what ``state_dict`` gave; the next ``run`` goes on from there.

        Raises PluginError if the states are not those of these plugins.
        """
        stateful = {n: p for n, p in self.plan.plugins.items() if hasattr(p, "load_state_dict")}
        if stateful.keys() != state["plugins"].keys():
            raise PluginError(
                f"the saved plugins are {', '.join(sorted(state['plugins']))}, "
                f"but these are {', '.join(sorted(stateful))}"
            )
        for name, plugin in stateful.items():
            plugin.load_state_dict(state["plugins"][name])
        self._epoch_parts = state["epoch_parts"]
        self.stop_reason = state["stop_reason"]
        self._restored_rng = state["rng"]

    def _start(self) -> None:
        seed_generators(self._seed)
        with preserved_rng():
            self._hear(self._calls[Stage.TRAIN_START])
        if self._restored_rng is not None:
            set_rng_state(self._restored_rng)
            self._restored_rng = None
        self._save()

    def _epoch(self) -> None:
        """The parts of an epoch; one that goes on from a saved state leaves out those it had."""
        parts: tuple[Callable[[], None], ...] = (
            lambda: self._hear(self._calls[Stage.EPOCH_START]),
            lambda: self._hear(self._before_driver),
            self._batches,
            lambda: self._hear(self._after_driver),
        )
        for part in parts[self._epoch_parts :]:
            part()
            self._epoch_parts += 1
            self._save()
        self._epoch_parts = 0
        self._report(Stage.EPOCH_END)

    def _batches(self) -> None:
        if self.stop_reason is not None:
            return
        driver: EpochDriver = self.plan.plugins[self.plan.driver]  # type: ignore[assignment]
        step = self._step
        in_use = [self._calls[stage] for stage in BATCH_STAGES if self._calls[stage]]
        for step.batch, step.size in driver.batches():
            for calls in in_use:
                self._hear(calls, step)
            step.empty()
            if self._saves:
                self._save()
            if self.stop_reason is not None:
                break

    def _report(self, stage: Stage) -> None:
        with preserved_rng():
            self._hear(self._calls[stage])
        self._save()

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

    def _save(self) -> None:
        """Hand out the state: every plugin has heard the stage, and no step is under way."""
        saves, self._saves = self._saves, []
        for asked in saves:
            asked.save(self.state_dict())

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
