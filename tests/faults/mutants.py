"""What keeps runs whole, taken away piece by piece: some fault must then not be survived."""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from pkgutil import resolve_name
from typing import Any
from unittest import mock

from legoloop.state.checkpoints import CHECKPOINT_STATE, checkpoints_in
from tests.faults import damages, directories, interruptions, not_numbers, same_bits
from tests.faults.calls import Calls
from tests.faults.interruptions import before_a_call
from tests.faults.kills import kill_itself, problem_of_a_killed
from tests.faults.tally import Tally
from tests.faults.trials import EVERY, Fault, trial, uninterrupted

Check = Callable[[], str | None]


def mutants(long: bool) -> Tally:
    """Each must be caught; a few of them in the small form."""
    tally = Tally()
    for overrides in ((), WORKER, LAST_ONLY):
        uninterrupted(*overrides)  # before anything is taken away
    chosen = list(MUTANTS.items())
    for name, (place, mutant, check) in chosen if long else chosen[::6]:
        with _in_place_of(place, mutant):
            try:
                caught = check()
            except AssertionError as error:
                caught = repr(error)
        tally.count(name, None if caught else "nothing was amiss")
    return tally


@contextmanager
def _in_place_of(place: str, mutant: Callable[[Any], Any]) -> Any:
    """In this process, and so in each that is forked from it."""
    module, _, names = place.partition(":")
    *path, name = names.split(".")
    owner = resolve_name(f"{module}:{'.'.join(path)}") if path else resolve_name(module)
    with mock.patch.object(owner, name, mutant(getattr(owner, name))):
        yield


# Faults that show it


WORKER = ("data.loaders.default.num_workers=1",)
LAST_ONLY = ("plugins.checkpoints.keep_last=1",)


def _killed(fault: Fault, *overrides: str) -> str | None:
    with trial(*overrides) as killed:
        assert killed.run(fault=fault).status == -signal.SIGKILL
        return problem_of_a_killed(killed)


def _killed_in_training() -> str | None:
    return _killed(before_a_call("faulted:Net.forward", 50, kill_itself))


def _killed_in_prediction() -> str | None:
    return _killed(before_a_call(*interruptions.RECORDED["prediction"], kill_itself))


def _killed_in_writing(name: str, times: int) -> str | None:
    return _killed(_at_a_call("write", name, times, lambda calls: kill_itself()))


def _power_lost() -> str | None:
    def lose(calls: Calls) -> None:
        calls.lose_what_is_not_synced()
        kill_itself()

    return _killed(_at_a_call("mkdir", f"/.{5 * EVERY}.", 1, lose), *LAST_ONLY)


def _at_a_call(call: str, part: str, times: int, then: Callable[[Calls], object]) -> Fault:
    """A fault: something is done before such a call for the ``times``-th time."""
    left = times

    def act(calls: Calls, now: str, path: str) -> None:
        nonlocal left
        left -= now == call and part in path
        if left == 0:
            left = -1
            then(calls)

    return lambda: Calls(os.path.abspath("run"), act).install()


def _damaged() -> str | None:
    with trial() as killed:
        killed.run(fault=before_a_call("faulted:Net.forward", 40, kill_itself))
        newest, before = checkpoints_in(killed.directory / "checkpoints")[:2]
        file = newest / CHECKPOINT_STATE
        file.write_bytes(damages.flipped(file.read_bytes(), 0))
        return damages.problem(newest, before)


def _interrupted() -> str | None:
    phase = "training"
    fault = before_a_call(*interruptions.RECORDED[phase], partial(os.kill, 0, signal.SIGTERM))
    with trial() as asked:
        return interruptions.problem(asked, phase, signal.SIGTERM, fault)


def _of(row: Callable[[bool], Tally]) -> Check:
    return lambda: "; ".join(row(False).problems) or None


def _with_a_worker() -> str | None:
    with trial(*WORKER) as other:
        assert other.run().status == 0
        return other.outcome().differs_from(uninterrupted().outcome, ignoring=("config.yaml",))


# What is taken away


def _nothing(real: Any) -> Any:
    return lambda *given, **named: None


def _without(name: str, value: Any) -> Callable[[Any], Any]:
    """A method after which an attribute is as if it had never been set."""

    def mutant(real: Any) -> Any:
        def method(self: Any, *given: Any) -> Any:
            result = real(self, *given)
            setattr(self, name, value)
            return result

        return method

    return mutant


def _files_alone(real: Any) -> Any:
    return lambda path: None if path.is_dir() else real(path)


def _as_it_is(real: Any) -> Any:
    return lambda final: final


def _keeps_what_it_found(real: Any) -> Any:
    def restore(self: Any) -> None:
        self._stale_files = []
        real(self)

    return restore


def _no_lock(real: Any) -> Any:
    return lambda *given: mock.MagicMock()


def _what_is_there(real: Any) -> Any:
    from legoloop.state.run_record import _found

    return lambda directory, resume: _found(directory)


def _leaves_flags(real: Any) -> Any:
    @contextmanager
    def looking(model: Any) -> Any:
        import torch

        with torch.no_grad():
            model.eval()
            yield

    return looking


def _never_deferring(real: Any) -> Any:
    def deferring(self: Any) -> AbstractContextManager[None]:
        return nullcontext()

    return deferring


def _as_if_loaded(real: Any) -> Any:
    def load_state_dict(self: Any, state: Any) -> None:
        self._saved, self._is_at_saved_place = state, True

    return load_state_dict


def _drawn(real: Any) -> Any:
    return lambda self, first, count: [random.getrandbits(62) for _ in range(count)]


def _always(real: Any) -> Any:
    return lambda *given, **named: True


MUTANTS: Mapping[str, tuple[str, Callable[[Any], Any], Check]] = {
    "generators not restored": ("legoloop.loop.host:set_rng_state", _nothing, _killed_in_training),
    "no fsync": ("legoloop.core.atomic_files:_sync", _nothing, _power_lost),
    "no fsync of folders": ("legoloop.core.atomic_files:_sync", _files_alone, _power_lost),
    "no draft, no rename": (
        "legoloop.core.atomic_files:_temporary_of",
        _as_it_is,
        partial(_killed_in_writing, "run.json", 4),
    ),
    "digests not compared": ("legoloop.state.manifest:FileDigest.__eq__", _always, _damaged),
    "event files not replaced": (
        "legoloop.output.scalars.tensorboard:TensorBoard.restore",
        _keeps_what_it_found,
        _killed_in_training,
    ),
    "rows not restored": (
        "legoloop.output.scalars.csv_metrics:CsvMetrics.load_state_dict",
        _nothing,
        _killed_in_training,
    ),
    "what is written not known": (
        "legoloop.output.scalars.scalar_writer:ScalarWriter.load_state_dict",
        _nothing,
        _killed_in_prediction,
    ),
    "no lock": ("legoloop.state.directory_lock:_lock", _no_lock, _of(directories.started_twice)),
    "finished runs not refused": (
        "legoloop.state.run_record:check_startable",
        _what_is_there,
        _of(directories.started_twice),
    ),
    "position of the loop lost": (
        "legoloop.data.streams:BatchStream.load_state_dict",
        _nothing,
        _killed_in_training,
    ),
    "position in the epoch lost": (
        "legoloop.training.epochs:SimpleEpoch.load_state_dict",
        _without("samples", 0),
        _killed_in_training,
    ),
    "part of the epoch lost": (
        "legoloop.loop.host:TrainingHost.load_state_dict",
        _without("_epoch_phase", 0),
        _killed_in_training,
    ),
    "schedule lost": (
        "legoloop.training.schedules.lr_plugins:LRScheduler.load_state_dict",
        _as_if_loaded,
        _killed_in_training,
    ),
    "count of steps lost": (
        "legoloop.training.counter:Counter.load_state_dict",
        _nothing,
        _killed_in_training,
    ),
    "interruptions do not wait": (
        "legoloop.loop.interruption:Interruption.deferring",
        _never_deferring,
        _interrupted,
    ),
    "no guard": (
        "legoloop.training.step.nonfinite_guard:NonFiniteGuard._allow_step",
        _always,
        _of(not_numbers.not_a_number),
    ),
    "draws not by position": (
        "legoloop.data.positional_rng:PositionalRng.seeds",
        _drawn,
        _with_a_worker,
    ),
    "flags left as they are": (
        "legoloop.evaluation.evaluator:evaluation_mode",
        _leaves_flags,
        _of(same_bits.looking_in_between),
    ),
}
