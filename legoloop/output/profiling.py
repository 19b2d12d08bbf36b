"""Where the time of a training goes."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any, Literal, Protocol

import torch
from torch.profiler import ProfilerActivity, profile, schedule

from legoloop.core.arguments import at_least
from legoloop.core.atomic_files import atomic_write
from legoloop.core.protocols import EvaluationResults
from legoloop.core.run_directory import PROFILE, TRACE
from legoloop.core.text_table import text_table
from legoloop.loop.plugin import EpochDriver

PHASES = {
    "start": "until the first batch is read",
    "data": "waiting for batches",
    "forward": "moving the batch, the model, the loss",
    "backward": "the gradients",
    "step": "checking and clipping them, the optimizer",
    "others": "the other plugins' hooks of a step, checkpoints within an epoch",
    "evaluation": "passes over the data sets",
    "writing": "metrics, reports, checkpoints, weights, predictions",
}
PHASE_OF = {"forward": "forward", "backward": "backward", "optimizer": "step"}
"""By the name that a descent gives it."""


class TimedDescent(Protocol):
    """A descent that calls ``on_phase``, if it is set, at the end of each of its phases."""

    on_phase: Callable[[Literal["forward", "backward", "optimizer"]], object] | None


class Profile:
    """Times the phases of the training, and traces a few steps with torch.profiler.

    When the run ends, the table of the phases is printed and written to ``profile.txt``. The trace,
    for Perfetto or chrome://tracing, is ``trace.json.gz``. The host waits for the GPU at the end of
    each phase, so the run takes longer; its results do not change.

    Args:
        drivers: the epoch driver, of which a host has one; waiting for its batches is timed.
        folder: where both files are written.
        evaluations: the plugins whose passes are timed, those with ``collect()``.
        descents: the plugins whose phases are timed, those with ``on_phase``; the time of others
            counts with ``others``.
        wait: steps before those that are traced; the last of them warms the profiler up. The first
            step of the training is never traced.
        active: steps that are traced.
        enabled: False: do nothing.

    Raises:
        ArgumentError: if ``active`` is less than 1 or ``wait`` less than 0.

    >>> import tempfile
    >>> class NoEpoch:
    ...     def batches(self): yield from ()
    >>> profile = Profile([NoEpoch()], tempfile.mkdtemp())
    >>> profile.train_start(); profile.close()  # doctest: +ELLIPSIS
    0 steps, 0.0 s
      start       0.00 s  ...  until the first batch is read
      data        0.00 s  ...  waiting for batches
      ...
    """

    only_looks = True
    trained_alone = "times the phases of a step of one run"

    def __init__(
        self,
        drivers: Sequence[EpochDriver],
        folder: str | Path,
        evaluations: Sequence[EvaluationResults] = (),
        descents: Sequence[TimedDescent] = (),
        wait: int = 5,
        active: int = 5,
        enabled: bool = True,
    ) -> None:
        at_least(0, wait=wait)
        at_least(1, active=active)
        self.drivers = list(drivers)
        self.folder = Path(folder)
        self.evaluations = list(evaluations)
        self.descents = list(descents)
        self.wait = wait
        self.active = active
        self.enabled = enabled
        self.seconds = dict.fromkeys(PHASES, 0.0)
        self.steps = 0
        self._between = "start"  # the phase of the time between two that are timed
        self._ticked = 0.0
        self._undo = ExitStack()
        self._profiler: profile | None = None

    def train_start(self) -> None:
        if not self.enabled:
            return
        self._ticked = _now()
        for driver in self.drivers:
            self._replace(driver, "batches", self._timed_batches(driver.batches))
        for evaluation in self.evaluations:
            self._replace(evaluation, "collect", self._timed_pass(evaluation.collect))
            if streamed := getattr(evaluation, "iterate", None):
                self._replace(evaluation, "iterate", self._timed_stream(streamed))
        for descent in self.descents:
            self._undo.callback(setattr, descent, "on_phase", descent.on_phase)
            descent.on_phase = lambda phase: self._tick(PHASE_OF[phase])
        self._profiler = self._started_profiler()

    def close(self) -> None:
        """Undo the timing and write the table, however the run ended."""
        if not self._ticked:
            return
        self._tick(self._between)
        self._undo.close()
        if self._profiler is not None:
            self._profiler.stop()
            self._profiler = None
        self._ticked = 0.0
        print(self.table(), flush=True)
        with atomic_write(self.folder / PROFILE) as temporary:
            temporary.write_text(self.table() + "\n")

    def table(self) -> str:
        """A row for each phase: seconds, share of the total, what it is."""
        total = sum(self.seconds.values())
        rows = [
            (f"  {phase}", f"{seconds:.2f} s", f"{seconds / (total or 1):.0%}", PHASES[phase])
            for phase, seconds in self.seconds.items()
        ]
        return f"{self.steps} steps, {total:.1f} s\n" + text_table(rows, right=(1, 2))

    def _tick(self, phase: str) -> None:
        """A phase ends now."""
        now = _now()
        self.seconds[phase] += now - self._ticked
        self._ticked = now

    def _replace(self, owner: object, name: str, method: Any) -> None:
        """Hide a method of the class behind an attribute, until ``close``."""
        setattr(owner, name, method)
        self._undo.callback(delattr, owner, name)

    def _timed_batches(self, batches: Callable[[], Iterator[Any]]) -> Callable[[], Iterator[Any]]:
        def timed() -> Iterator[Any]:
            try:
                for batch in self._timed_items("data", batches()):
                    self._between = "others"
                    self.steps += 1
                    yield batch
                    del batch
                    self._tick("others")
                    self._trace_step()
            finally:
                self._tick(self._between)
                self._between = "writing"

        return timed

    def _timed_stream(self, streamed: Callable[..., Iterator[Any]]) -> Callable[..., Iterator[Any]]:
        return lambda *given: self._timed_items("evaluation", streamed(*given))

    def _timed_items(self, phase: str, stream: Iterable[Any]) -> Iterator[Any]:
        """The items of a stream; the time that each of them takes belongs to the phase."""
        with closing(iter(stream)) as items:  # type: ignore[type-var]
            while True:
                self._tick(self._between)
                item = next(items, None)
                self._tick(phase)
                if item is None:
                    return
                yield item
                del item

    def _timed_pass(self, collect: Callable[[str], Any]) -> Callable[[str], Any]:
        def timed(name: str) -> Any:
            self._tick(self._between)
            try:
                return collect(name)
            finally:
                self._tick("evaluation")

        return timed

    def _started_profiler(self) -> profile:
        activities = [ProfilerActivity.CPU]
        if torch.cuda.is_available():
            activities.append(ProfilerActivity.CUDA)
        profiler = profile(
            activities=activities,
            schedule=schedule(wait=max(self.wait - 1, 0), warmup=1, active=self.active, repeat=1),
            on_trace_ready=self._write_trace,
        )
        profiler.start()
        return profiler

    def _trace_step(self) -> None:
        """Tell the profiler that a step has ended; the time that this takes counts nowhere."""
        if self._profiler is not None:
            self._profiler.step()
            self._ticked = _now()

    def _write_trace(self, profiler: profile) -> None:
        with TemporaryDirectory() as folder, atomic_write(self.folder / TRACE) as temporary:
            profiler.export_chrome_trace(f"{folder}/trace.json")
            temporary.write_bytes(gzip.compress(Path(folder, "trace.json").read_bytes(), 6))


def _now() -> float:
    """The time once the GPU has finished all work so far."""
    if torch.cuda.is_available() and torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        torch.cuda.synchronize()
    return perf_counter()
