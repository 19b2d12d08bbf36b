"""The host: keeps the plugins in order and calls their hooks, stage by stage."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import replace
from fractions import Fraction
from functools import partial
from typing import Any

from legoloop.core.errors import PluginError
from legoloop.core.eval_mode import preserved_train_flags
from legoloop.core.ranks import current_ranks
from legoloop.core.rng import (
    derived_seed,
    last_seed,
    preserved_rng,
    reseed_generators,
    seed_generators,
    set_rng_state,
)
from legoloop.loop.constructed_settings import ConstructedSettings, Settings, of_states
from legoloop.loop.evaluation_cache import EvaluationCache, UsesEvaluationCache
from legoloop.loop.held_objects import held_modules
from legoloop.loop.held_state import HeldState
from legoloop.loop.interruption import Interruption
from legoloop.loop.lockstep import Lockstep, OwnGenerators
from legoloop.loop.lookers import FailedLookers, only_looks
from legoloop.loop.loss_parameters import reject_unoptimized_losses
from legoloop.loop.lost_weights import reject_lost_weights
from legoloop.loop.order import Edge
from legoloop.loop.plan import Plan
from legoloop.loop.plugin import (
    Ending,
    EpochDriver,
    ShouldEvaluate,
    ShouldSave,
    ShouldStop,
    State,
)
from legoloop.loop.saving import Saving
from legoloop.loop.stages import Hook, Stage
from legoloop.loop.step import Step
from legoloop.loop.unsaved_tensors import UnsavedTensors

log = logging.getLogger("legoloop")

BATCH_STAGES = (Stage.BATCH_START, Stage.BATCH, Stage.BATCH_END)


class TrainingHost:
    """Runs one training, made of the given plugins.

    The plugins are checked and put in order here, so that a wrong one costs no training;
    ``host.plan`` shows the outcome.

    Args:
        plugins (Iterable | Mapping[str, object]): the plugins, or a dict that names them.
        seed (int | None): what the generators are seeded with when the training starts; None:
            what ``ll.seed`` chose last.
        edges (Iterable[Edge] | None): pairs of names of which the first is called before the
            second; None: they are read from the references between the plugins.

    Raises PluginError for plugins that cannot make a loop, and for a loss with trainable parameters
    that no optimizer has.

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
        reject_unoptimized_losses(self.plan.plugins)
        self.stop_reason: str | None = None
        self.ends_as: Ending = "COMPLETED"
        self.run_context: Callable[[], AbstractContextManager[object]] = nullcontext
        self._given_seed = seed
        self._seed = last_seed() if seed is None else seed
        self._has_run = False
        self._epoch_phase = 0
        self._is_to_evaluate = False
        self._has_trained = False
        self._told_flags = False
        self._restored_rng: State | None = None
        self._generators = OwnGenerators()
        self._ranks = current_ranks()
        self._interruption = Interruption(self._ranks)
        self._saving = Saving()
        self._held = HeldState(self.plan.plugins, host=self)
        self._settings: Settings | None = None  # as constructed; noted when it trains, or loads
        self._unsaved: UnsavedTensors | None = None  # until it has looked
        self._modules = held_modules(self.plan.plugins, but=[self])
        self._step = Step()
        self._lookers = FailedLookers()
        called = self._guarded()
        self._calls = {stage: called.calls(stage) for stage in Stage}
        self._batch_calls = [call for stage in BATCH_STAGES for call in self._calls[stage]]
        self._before_driver, self._after_driver = called.calls_around_driver()
        self._share_evaluations()

    def run(self) -> None:
        """Train until a plugin asks to stop; a host runs once.

        ::

            train_start
            until a stop is requested:
                epoch_start
                epoch, and at the driver's turn for each of its batches:
                    batch_start, batch, batch_end
                    within_epoch, if one of these asked for it
                epoch_end
            train
            train_end
            close, however it ended

        All of it happens inside the context manager that ``run_context`` makes.
        """
        for _ in self.stepped():
            pass

    def stepped(self, lockstep: Lockstep | None = None) -> Iterator[Step]:
        """``run``, halted in each step for the hosts in lockstep with it; alone nowhere.

        Args:
            lockstep: of the hosts; None: the host runs alone, and nothing is yielded.

        Yields the step, before the hook of the plugin at which they wait for each other.
        """
        if self._has_run:
            raise PluginError("this host has run already; a new run takes a new host")
        self._has_run = True
        with self.run_context(), self._closing_plugins(), self._interruption.replacing_errors():
            self._train_start()
            while self.stop_reason is None or self._epoch_phase:
                yield from self._epoch(lockstep)
            self._train()
            self._evaluate(Stage.TRAIN_END)

    @property
    def failed_lookers(self) -> dict[str, str]:
        """The plugins that only look and have failed, and why; they are called no more."""
        return self._lookers.causes

    def stop(self, reason: str, ends_as: Ending = "COMPLETED") -> None:
        """End the training at the next batch; the first reason given is kept.

        But a training that is complete is not pruned at its last epoch.
        """
        is_only_pruned = self.ends_as == "PRUNED" and ends_as == "COMPLETED"
        if self.stop_reason is None or is_only_pruned:
            self.stop_reason, self.ends_as = reason, ends_as

    def interrupt(self, interruption: BaseException) -> None:
        """Raise the interruption at the next safe point; for a signal handler.

        That is after the step, or the save, that is under way; then plugins that define
        ``interrupted()`` may ask for a save. During an evaluation, it is at once.
        """
        self._interruption.request(interruption)

    def state_dict(self) -> State:
        """Everything that a run with the same plugins needs to resume from here.

        That is the state of each plugin, and of whatever they hold that has a ``state_dict`` which
        none of them saves, such as a loss with buffers.
        """
        plugins, held = self._held.state_dicts()
        settings = self._settings or self._constructed_settings().described
        not_empty = {path: state for path, state in held.items() if state}
        return {
            "plugins": plugins,
            "held": held,
            "settings": of_states(settings, {**plugins, **not_empty}),
            "epoch_phase": self._epoch_phase,
            "is_to_evaluate": self._is_to_evaluate,
            "has_trained": self._has_trained,
            "stop_reason": self.stop_reason,
            "ends_as": self.ends_as,
            "rng": self._generators.state(),
            "seed": self._given_seed,
        }

    def load_state_dict(self, state: State, strict: bool = True) -> None:
        """Load what ``state_dict`` gave; the next ``run`` continues from it.

        Args:
            state (dict): what ``state_dict`` gave.
            strict (bool): if False, a plugin, or what one holds, without a saved state starts
                afresh, the state of one that is gone is dropped, and so is a reason to stop;
                settings that have changed stay as they are now, also where the state has them.

        Raises PluginError if the states are not those of these plugins.
        """
        stateful = {n: p for n, p in self.plan.plugins.items() if hasattr(p, "load_state_dict")}
        saved, constructed = state["plugins"], self._constructed_settings()
        if stateful.keys() != saved.keys():
            differ = (
                f"the saved plugins are {', '.join(sorted(saved))}, "
                f"but these are {', '.join(sorted(stateful))}"
            )
            if strict:
                raise PluginError(differ)
            log.warning("%s; those on one side alone start afresh, or are dropped", differ)
        for name in [name for name in stateful if name in saved]:
            stateful[name].load_state_dict(saved[name])
        if "held" in state:  # states of older versions have none
            self._held.load_state_dict(state["held"], strict)
        is_seeded = None not in (self._given_seed, state.get("seed"))
        if not strict and "settings" in state:
            has_same_seed = state["seed"] == self._given_seed if is_seeded else None
            constructed.restore(state["settings"], has_same_seed)
        step_ratio = getattr(self.plan.plugins[self.plan.driver], "step_ratio", Fraction(1))
        for plugin in self.plan.plugins.values():
            if callable(after_load := getattr(plugin, "after_load", None)):
                after_load(step_ratio)
        self._epoch_phase = state["epoch_phase"]
        # States of older versions do not say whether an evaluation is due.
        self._is_to_evaluate = state.get("is_to_evaluate", False)
        self._has_trained = state["has_trained"]
        self.stop_reason = state["stop_reason"] if strict else None
        # States of older versions do not say how the run ends.
        self.ends_as = state.get("ends_as", "COMPLETED") if strict else "COMPLETED"
        has_new_seed = is_seeded and state["seed"] != self._given_seed
        self._restored_rng = None if has_new_seed else state["rng"]

    def reject_lost_weights(self) -> None:
        """Raises PluginError if weights are trained that ``state_dict`` does not have.

        Also if a plugin holds what has a state and cannot load it.

        A run checks it when the first save is asked for at its start.
        """
        self._held.reject_unloadable()
        reject_lost_weights(self.plan.plugins, self.state_dict)

    def _constructed_settings(self) -> ConstructedSettings:
        """Noted the first time, before anything is loaded or trained."""
        constructed = ConstructedSettings(self.plan.plugins, host=self)
        if self._settings is None:
            self._settings = constructed.described
        return constructed

    def _train_start(self) -> None:
        self._constructed_settings()
        seed_generators(self._seed)
        with preserved_rng():
            self._call_hooks(self._calls[Stage.TRAIN_START])
            if self._saving.requests:
                self.reject_lost_weights()
                if self._ranks.is_writer:
                    self._unsaved = UnsavedTensors(self.plan.plugins, host=self)
        if self._restored_rng is not None:
            set_rng_state(self._restored_rng)
            self._restored_rng = None
        self._commit()

    def _epoch(self, lockstep: Lockstep | None) -> Iterator[Step]:
        """The phases of an epoch; one resumed from a saved state leaves out those it had."""
        phases: tuple[Callable[[], Iterator[Step] | None], ...] = (
            partial(self._call_hooks, self._calls[Stage.EPOCH_START]),
            partial(self._call_hooks, self._before_driver),
            partial(self._batches, lockstep),
            partial(self._call_hooks, self._after_driver),
        )
        self._has_trained = False
        with self._interruption.deferring():
            for phase in phases[self._epoch_phase :]:
                yield from phase() or ()
                self._epoch_phase += 1
                self._commit()
            if self._interrupted_hooks():
                self._saving.keep(self.state_dict())
            self._epoch_phase = 0
        self._evaluate(Stage.EPOCH_END)
        self._saving.discard()

    def _batches(self, lockstep: Lockstep | None) -> Iterator[Step]:
        if self._is_to_evaluate:  # the attempt before was interrupted there
            self._evaluate_within_epoch()
        if self.stop_reason is not None:
            return
        driver: EpochDriver = self.plan.plugins[self.plan.driver]  # type: ignore[assignment]
        step = self._step if lockstep is None else lockstep.step
        saving, interruption = self._saving, self._interruption
        before, after = self._calls_around(lockstep)
        with ExitStack() as met:
            if lockstep is not None:
                met.enter_context(self._generators.kept())
                met.enter_context(lockstep)
            for batch, step.size in driver.batches():
                step.batch, step.num_samples = batch, getattr(batch, "num_samples", None)
                del batch  # the step alone keeps it
                if not self._ranks.is_alone:
                    self._begin_step_of_rank(step)
                try:
                    self._call_hooks(before, step)
                    if lockstep is not None:
                        yield step
                        self._call_hooks(after, step)
                except RuntimeError as error:
                    step.explain(error)
                    raise
                step.clear()
                if self._unsaved is not None:
                    self._look_for_unsaved(self._unsaved)
                if self._is_to_evaluate or saving.requests or interruption.pending is not None:
                    with nullcontext() if lockstep is None else lockstep.left():
                        self._between_steps()
                if self.stop_reason is not None:
                    break

    def _between_steps(self) -> None:
        if self._is_to_evaluate:
            self._evaluate_within_epoch()
        if self._saving.requests or self._interruption.pending is not None:
            self._commit()

    def _calls_around(self, lockstep: Lockstep | None) -> tuple[list[Hook], list[Hook]]:
        """The hooks of the batch stages before the hosts wait for each other, and the others."""
        if lockstep is None:
            return self._batch_calls, []
        place = self._batch_calls.index(self.plan.hooks[lockstep.plugin][Stage.BATCH])
        return self._batch_calls[:place], self._batch_calls[place:]

    def _look_for_unsaved(self, unsaved: UnsavedTensors) -> None:
        unsaved.look()
        if unsaved.is_done:
            self._unsaved = None

    def _evaluate_within_epoch(self) -> None:
        """At once, unless an interruption is pending: then a resumed run begins with it."""
        if self._interruption.pending is not None:
            return
        if self._interrupted_hooks():
            self._saving.keep(self.state_dict())
        self._is_to_evaluate = False
        with self._interruption.raising_at_once():
            self._evaluate(Stage.WITHIN_EPOCH)
        self._saving.discard()

    def _begin_step_of_rank(self, step: Step) -> None:
        """Ranks draw different random numbers: rank 0 those that a process alone would.

        Those of any other are a function of the step, so that its state has no generators.
        """
        step.share = step.batch.share
        if self._ranks.rank > 0:
            reseed_generators(derived_seed(self._seed, *step.share.key, self._ranks.rank) % 2**32)

    def _train(self) -> None:
        """Changes the weights, hence called once; ``train_end`` may be called again on resume."""
        if self._has_trained:
            return
        with self._interruption.deferring():
            self._call_hooks(self._calls[Stage.TRAIN])
            self._has_trained = True
            self._commit()

    def _evaluate(self, stage: Stage) -> None:
        """May take minutes, so an interruption is raised at once, and what is kept is saved."""
        try:
            with preserved_rng(), self._preserved_train_flags(stage):
                self._call_hooks(self._calls[stage])
        except BaseException:
            kept = self._saving.kept
            if self._interruption.pending is not None and kept is not None:
                self._saving.requests.clear()
                self._save_before_exit(lambda: kept)
            raise
        self._commit()

    @contextmanager
    def _preserved_train_flags(self, stage: Stage) -> Iterator[None]:
        """What a plugin sets to look at the model would hold for the rest of the training."""
        with preserved_train_flags(self._modules) as changed:
            yield
        if changed and not self._told_flags:
            self._told_flags = True
            log.warning(
                "%s left train flags changed, that of a %s for one; they are put back: use "
                "ll.evaluation_mode(model) to look at it, and epoch_start to change the training",
                stage,
                type(changed[0]).__name__,
            )

    def _call_hooks(self, hooks: Iterable[Hook], *args: Any) -> None:
        for hook in hooks:
            request = hook(*args)
            if request is None:
                continue
            if isinstance(request, ShouldStop):
                self.stop(request.reason, request.ends_as)
            elif isinstance(request, ShouldSave):
                self._saving.request(request)
            elif isinstance(request, ShouldEvaluate) and args:
                self._is_to_evaluate = True
            else:
                raise PluginError(
                    f"{getattr(hook, '__qualname__', hook)} returned {request!r:.60}; a stage "
                    "returns nothing, ShouldStop(reason) or ShouldSave(save), one of a batch also "
                    "ShouldEvaluate()"
                )

    def _commit(self) -> None:
        """A safe point: no hook of a stage is left to call. Save, and end if interrupted."""
        with self._interruption.deferring():
            self._agree()
            self._saving.commit(self.state_dict)
            if self._interruption.pending is not None:
                self._save_before_exit(self.state_dict)
                raise self._interruption.pending

    def _save_before_exit(self, state: Callable[[], State]) -> None:
        with self._interruption.deferring():
            self._call_hooks(self._interrupted_hooks())
            self._agree()
            self._saving.commit(state)

    def _agree(self) -> None:
        """All ranks stop and save at the same places."""
        self.stop_reason = self._ranks.agree_on_stop(self.stop_reason)
        if self.stop_reason is None:
            self._saving.drop_those_at_end()
        self._saving.match(self._ranks.agree_on_saves(len(self._saving.requests)))

    def _interrupted_hooks(self) -> list[Hook]:
        hooks = (getattr(plugin, "interrupted", None) for plugin in self.plan.plugins.values())
        return [hook for hook in hooks if callable(hook)]

    @contextmanager
    def _closing_plugins(self) -> Iterator[None]:
        with ExitStack() as closing:
            for name, plugin in self.plan.plugins.items():
                if callable(close := getattr(plugin, "close", None)):
                    looks = only_looks(plugin)
                    closing.callback(self._lookers.guard(name, close) if looks else close)
            yield

    def _guarded(self) -> Plan:
        """The plan, in which those that only look cannot end the run."""
        plugins, hooks = self.plan.plugins, self.plan.hooks
        looking = {name for name, plugin in plugins.items() if only_looks(plugin)}
        guarded = {name: self._lookers.guarded(name, hooks[name]) for name in looking}
        return replace(self.plan, hooks={**hooks, **guarded})

    def _share_evaluations(self) -> None:
        cache = EvaluationCache()
        for plugin in self.plan.plugins.values():
            if isinstance(plugin, UsesEvaluationCache):
                plugin.use_evaluation_cache(cache)
