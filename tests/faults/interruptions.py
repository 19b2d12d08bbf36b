"""Signals that ask a run to end, in each of its phases."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

from legoloop.state.run_record import read_record
from tests.faults.tally import Tally
from tests.faults.trials import (
    EVERY,
    Trial,
    outlived,
    resumed_as_if_nothing_had_happened,
    trial,
)

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)
STATUS = {signal.SIGTERM: 143, signal.SIGINT: 130, signal.SIGUSR1: 143}

LOOKING = {
    "evaluation": ("legoloop.evaluation.accumulators:CompositeAccumulator.add", 2),
    "reporting": ("legoloop.output.scalars.csv_metrics:CsvMetrics.write", 1),
}
"""Left at once, and saved as it was before."""
NOTHING_MADE = {
    "composing": ("hydra._internal.config_loader_impl:ConfigLoaderImpl.load_configuration", 1),
    "building": ("faulted:Noisy.__init__", 1),
}
RECORDED = {
    "the run directory claimed": ("hydra.core.utils:_save_config", 1),
    "beginning": ("legoloop.app.run.lifecycle:_write_config", 1),
    "the first batch": ("faulted:Net.forward", 1),
    "training": ("faulted:Net.forward", 20),
    "the first save": ("legoloop.state.checkpoints:_write_state", 1),
    "saving": ("legoloop.state.checkpoints:_write_state", 3),
    "pruning": ("legoloop.state.checkpointer:remove_directory", 1),
    "prediction": ("legoloop.output.predictions.csv_predictions:CsvLogits.train_end", 1),
    "writing the weights": ("legoloop.output.weights:SaveModelWeights.train_end", 1),
}
PHASES = {**NOTHING_MADE, **RECORDED, **LOOKING}


def interrupted_in_any_phase(long: bool) -> Tally:
    """Each signal in each phase; some of them in the small form."""
    tally = Tally()
    cases = [(phase, number) for phase in PHASES for number in SIGNALS]
    for phase, number in cases if long else cases[::7]:
        place, times = PHASES[phase]
        with trial() as asked:
            fault = before_a_call(place, times, partial(_as_from_outside, number))
            tally.count(f"{number.name} in {phase}", problem(asked, phase, number, fault))
    return tally


def interrupted_with_workers(long: bool) -> Tally:
    """A signal to the process, or to it and its workers, as schedulers and terminals send it."""
    tally = Tally()
    overrides = ("data.loaders.default.num_workers=2",)
    cases = [(number, to_all) for number in SIGNALS for to_all in (False, True)]
    for number, to_all in cases if long else cases[1:2]:
        with trial(*overrides) as asked:
            # By the worker that has the sample to give that the run waits for.
            send = partial(_once, asked.here / "said so", number, to_all)
            fault = before_a_call("faulted:Noisy.__getitem__", 300, send)
            told = f"{number.name} to {'all' if to_all else 'the run'}"
            tally.count(told, problem(asked, "training", number, fault))
    return tally


def interrupted_twice(long: bool) -> Tally:
    """A second Ctrl-C ends the run at once, in the middle of a step or of a save."""
    tally = Tally()

    def twice() -> None:
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)

    for phase in ("training", "saving") if long else ("training",):
        with trial() as asked:
            fault = before_a_call(*RECORDED[phase], twice)
            tally.count(phase, problem(asked, "at once", signal.SIGINT, fault))
    return tally


def before_a_call(place: str, number: int, act: Callable[[], object]) -> Callable[[], None]:
    """A fault: something is done before the ``number``-th call of a function."""

    def patch() -> None:
        where, _, name = place.rpartition("." if "." in place.partition(":")[2] else ":")
        owner = resolve_name(where)
        real = getattr(owner, name)
        calls = 0

        def patched(*args: Any, **given: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls == number:
                act()
            return real(*args, **given)

        setattr(owner, name, patched)

    return patch


def _once(mark: Path, number: int, to_all: bool) -> None:
    with suppress(FileExistsError), mark.open("x"):
        if to_all:
            os.killpg(0, number)
        else:
            os.kill(os.getppid(), number)


def _as_from_outside(number: int) -> None:
    # Ctrl-C reaches every process of the terminal's group.
    if number == signal.SIGINT:
        os.killpg(0, number)
    else:
        os.kill(os.getpid(), number)


def problem(
    asked: Trial, phase: str, number: signal.Signals, fault: Callable[[], None]
) -> str | None:
    ended = asked.run(fault=fault)
    left = outlived(patience=1.0) if ended.left else []
    if ended.status != STATUS[number]:
        return f"ended with {ended.status}: {ended.err.strip()[-300:]}"
    if left:
        return f"{len(left)} processes outlived it"
    if phase in NOTHING_MADE:
        made = [path.name for path in asked.here.iterdir() if not path.name.startswith("said")]
        return f"it left {', '.join(made)}" if made else _unequal(asked)
    if ended.err != "interrupted\n":
        return f"it said {ended.err!r}"
    status = read_record(asked.directory)["status"]
    if status != "INTERRUPTED":
        return f"its record says {status}"
    half = [path.name for path in asked.directory.rglob("*") if re.search(r"\.draft$", path.name)]
    if half:
        return f"it left {', '.join(half)}"
    return _unequal(asked, lost=EVERY if phase == "at once" else 0)


def _unequal(asked: Trial, lost: int = 0) -> str | None:
    before = asked.steps_consumed()
    problem = resumed_as_if_nothing_had_happened(asked)
    again = asked.steps_consumed()[len(before) :]
    if problem is None and before and again and before[-1] - (again[0] - 1) > lost:
        return f"{before[-1] - (again[0] - 1)} steps were made again"
    return problem
