"""Numbers that are not numbers: in an input, a loss, a gradient."""

from __future__ import annotations

from collections.abc import Callable
from math import inf, nan
from typing import Any

import torch

from legoloop.state.checkpoints import read_newest
from legoloop.state.run_record import read_record
from legoloop.training.tensors import are_finite, named_tensors
from tests.faults.tally import Tally
from tests.faults.trials import EVERY, Fault, Trial, trial

AT = 24
SAMPLE = 500


def not_a_number(long: bool) -> Tally:
    """nan, inf and -inf in each place; one of them in the small form."""
    tally = Tally()
    for value in (nan, inf, -inf) if long else (inf,):
        for place, (fault, named) in PLACES.items():
            with trial() as spoilt:
                gradients = "plugins.descent.guard.gradients=true"
                ended = spoilt.run(gradients, fault=fault(value))
                problem = _problem(spoilt, ended.status, ended.err, named)
                tally.count(f"{value} in {place}", problem)
    return tally


def _in_the_input(value: float) -> Fault:
    def fault() -> None:
        import faulted

        real = faulted.Noisy.__getitem__

        def spoilt(self: Any, item: int) -> dict[str, Any]:
            record: dict[str, Any] = real(self, item)
            if item == SAMPLE and len(self) > SAMPLE:
                record["x"] = record["x"] * value
            return record

        faulted.Noisy.__getitem__ = spoilt

    return fault


def _in_the_loss(value: float) -> Fault:
    def fault() -> None:
        from legoloop.training.step.descent import GradientDescent

        real, steps = GradientDescent.batch, 0

        def batch(self: Any, step: Any) -> None:
            nonlocal steps
            steps += 1
            if steps == AT:
                loss = self.loss
                self.loss = lambda batch, outputs: loss(batch, outputs) * value
            real(self, step)

        GradientDescent.batch = batch  # type: ignore[method-assign]

    return fault


def _in_a_gradient(value: float) -> Fault:
    def fault() -> None:
        import faulted

        real = faulted.Net.forward
        steps = 0

        def forward(self: Any, batch: dict[str, Any]) -> dict[str, torch.Tensor]:
            nonlocal steps
            outputs: dict[str, torch.Tensor] = real(self, batch)
            steps += self.training
            if self.training and steps == AT:
                outputs["logits"].register_hook(lambda gradient: gradient * value)
            return outputs

        faulted.Net.forward = forward

    return fault


PLACES: dict[str, tuple[Callable[[float], Fault], str]] = {
    "the input": (_in_the_input, f"samples idx {SAMPLE}"),
    "the loss": (_in_the_loss, f"step {AT}: "),
    "a gradient": (_in_a_gradient, f"step {AT}: "),
}


def _problem(spoilt: Trial, status: int, err: str, named: str) -> str | None:
    if status != 1 or named not in err or len(err.splitlines()) > 3:
        return f"ended with {status}: {err[-300:]}"
    if read_record(spoilt.directory)["status"] != "FAILED":
        return "it is not recorded as failed"
    steps = spoilt.steps_consumed()
    found = read_newest(spoilt.directory / "checkpoints")
    if found is None or not all(are_finite(value) for _, value in named_tensors(found[1])):
        return "the last checkpoint is not finite"
    if steps[-1] - int(found[0].name) >= EVERY:
        return "a checkpoint is missing"
    return None
