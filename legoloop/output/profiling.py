"""Where the time of a training goes."""

from __future__ import annotations

import gzip
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

import torch
from torch.optim.optimizer import register_optimizer_step_post_hook
from torch.profiler import ProfilerActivity, profile

from legoloop.core.arguments import at_least
from legoloop.core.atomic_files import atomic_write
from legoloop.core.protocols import EvaluationResults
from legoloop.loop.plugin import EpochDriver

log = logging.getLogger("legoloop")

PARTS = {
    "start": "until the first batch is asked for",
    "data": "waiting for batches",
    "forward": "moving the batch, the model, the loss",
    "backward": "the gradients",
    "step": "what looks at them, the optimizer",
    "others": "what else hears of a step, checkpoints in mid-epoch",
    "evaluation": "passes over the data sets",
    "writing": "metrics, reports, checkpoints, weights, predictions",
}


class Profile:
    """Tells at the end where the time went, and traces a few steps with torch's profiler.

    The lines are printed and written to ``profile.txt`` in ``folder``, the trace, which Perfetto
    and chrome://tracing show, to ``trace.json.gz``: it has ``steps`` steps, after ``skip`` of them.
    The host waits for a GPU at the end of each part, so that work is told where it is done; the run
    takes longer than without, and gives the same. What is timed is the stream of the epoch driver,
    of which a host has one, the backward pass and the steps of all optimizers, and ``evaluations``.
    Unless ``enabled`` nothing is touched.

    Raises ArgumentError if ``steps`` is less than 1 or ``skip`` less than 0.

    >>> import tempfile
    >>> class NoEpoch:
    ...     def batches(self): yield from ()
    >>> profile = Profile([NoEpoch()], tempfile.mkdtemp())
    >>> profile.train_start(); profile.close()  # doctest: +ELLIPSIS
    0 steps, 0.0 s
      start           0.00 s  ...  until the first batch is asked for
      data            0.00 s  ...  waiting for batches
      ...
    """

    def __init__(
        self,
        drivers: Sequence[EpochDriver],
        folder: str | Path,
        evaluations: Sequence[EvaluationResults] = (),
        steps: int = 5,
        skip: int = 5,
        enabled: bool = True,
    ) -> None:
        at_least(1, steps=steps)
        at_least(0, skip=skip)
        self.drivers = list(drivers)
        self.folder = Path(folder)
        self.evaluations = list(evaluations)
        self.steps = steps
        self.skip = skip
        self.enabled = enabled
        self.seconds = dict.fromkeys(PARTS, 0.0)
        self.made = 0  # steps
        self._between = "start"
        self._ticked = 0.0
        self._undo = ExitStack()
        self._tracing: profile | None = None
        self._is_traced = False

    def train_start(self) -> None:
        """Put clocks around what takes time."""
        if not self.enabled:
            return
        self._ticked = _now()
        for driver in self.drivers:
            self._replace(driver, "batches", self._batches(driver.batches))
        for evaluation in self.evaluations:
            self._replace(evaluation, "collect", self._evaluating(evaluation.collect))
            if streamed := getattr(evaluation, "iterate", None):
                self._replace(evaluation, "iterate", self._streaming(streamed))
        backward = torch.autograd.backward  # Tensor.backward calls it too
        self._undo.callback(setattr, torch.autograd, "backward", backward)
        torch.autograd.backward = self._backward(backward)
        hook = register_optimizer_step_post_hook(lambda *_: self._tick("step"))
        self._undo.callback(hook.remove)

    def close(self) -> None:
        """Take the clocks away, and tell."""
        if not self._ticked:
            return
        self._tick(self._between)
        self._undo.close()
        self._end_trace()
        self._ticked = 0.0
        print(self.table(), flush=True)
        with atomic_write(self.folder / "profile.txt") as draft:
            draft.write_text(self.table() + "\n")

    def table(self) -> str:
        """A line a part: its seconds, its share, and what it is."""
        total = sum(self.seconds.values())
        lines = [f"{self.made} steps, {total:.1f} s"]
        for part, seconds in self.seconds.items():
            share = seconds / total if total else 0.0
            lines.append(f"  {part:<10}  {seconds:8.2f} s  {share:4.0%}  {PARTS[part]}")
        return "\n".join(lines)

    def _tick(self, part: str) -> None:
        """A part ends here."""
        now = _now()
        self.seconds[part] += now - self._ticked
        self._ticked = now

    def _replace(self, thing: object, name: str, by: Any) -> None:
        """Until the end; the method that the class defines shows again then."""
        setattr(thing, name, by)
        self._undo.callback(delattr, thing, name)

    def _batches(self, batches: Callable[[], Iterator[Any]]) -> Callable[[], Iterator[Any]]:
        def timed() -> Iterator[Any]:
            try:
                for batch in self._each("data", batches()):
                    self._between = "others"
                    self.made += 1
                    yield batch
                    del batch
                    self._tick("others")
                    self._trace()
            finally:
                self._tick(self._between)
                self._between = "writing"

        return timed

    def _streaming(self, streamed: Callable[..., Iterator[Any]]) -> Callable[..., Iterator[Any]]:
        return lambda *given: self._each("evaluation", streamed(*given))

    def _each(self, part: str, stream: Iterable[Any]) -> Iterator[Any]:
        """What the stream gives; the time that it takes to is the part's."""
        with closing(iter(stream)) as items:  # type: ignore[type-var]
            for _ in count():
                self._tick(self._between)
                item = next(items, None)
                self._tick(part)
                if item is None:
                    return
                yield item
                del item

    def _evaluating(self, collect: Callable[[str], Any]) -> Callable[[str], Any]:
        def timed(name: str) -> Any:
            self._tick(self._between)
            try:
                return collect(name)
            finally:
                self._tick("evaluation")

        return timed

    def _backward(self, backward: Callable[..., None]) -> Callable[..., None]:
        def timed(*given: Any, **named: Any) -> None:
            self._tick("forward")
            backward(*given, **named)
            self._tick("backward")

        return timed

    def _trace(self) -> None:
        if self._is_traced:
            return
        if self._tracing is None and self.made >= self.skip:
            activities = [ProfilerActivity.CPU]
            if torch.cuda.is_available():
                activities.append(ProfilerActivity.CUDA)
            self._tracing = profile(activities=activities)
            self._tracing.start()
        elif self.made >= self.skip + self.steps:
            self._end_trace()
        self._ticked = _now()

    def _end_trace(self) -> None:
        if self._tracing is None:
            return
        tracing, self._tracing, self._is_traced = self._tracing, None, True
        tracing.stop()
        with TemporaryDirectory() as folder, atomic_write(self.folder / "trace.json.gz") as draft:
            tracing.export_chrome_trace(f"{folder}/trace.json")
            draft.write_bytes(gzip.compress(Path(folder, "trace.json").read_bytes(), 6))


def _now() -> float:
    """When all is done that was begun."""
    if torch.cuda.is_available() and torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        torch.cuda.synchronize()
    return perf_counter()
