"""Anomaly detection is on during the run alone."""

from __future__ import annotations

import pytest
import torch

import legoloop as ll
from tests.tiny import tiny


class Looks:
    def __init__(self) -> None:
        self.seen: list[bool] = []

    def batch(self, step: ll.Step) -> None:
        self.seen.append(torch.is_anomaly_enabled())


@pytest.mark.parametrize("before", [False, True])
def test_is_on_during_the_run_and_then_as_it_was(before: bool) -> None:
    looks = Looks()
    with torch.autograd.set_detect_anomaly(before):
        tiny().trained(looks, ll.DetectAnomaly())
        assert torch.is_anomaly_enabled() is before
    assert set(looks.seen) == {True}


def test_is_off_after_a_run_that_failed() -> None:
    class Fails:
        def epoch_end(self) -> None:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        tiny().trained(ll.DetectAnomaly(), Fails())
    assert not torch.is_anomaly_enabled()


def test_the_weights_are_what_they_are_without_it() -> None:
    assert tiny().trained(ll.DetectAnomaly()) == tiny().trained()


@pytest.mark.filterwarnings("ignore:Error detected in SqrtBackward")
def test_a_gradient_that_is_no_number_stops_the_run() -> None:
    def loss(batch: ll.core.protocols.Batch, outputs: ll.core.protocols.Outputs) -> torch.Tensor:
        zero = outputs["logits"].sum() * 0
        return (zero * torch.sqrt(zero.abs())).mean()

    with pytest.raises(RuntimeError, match="SqrtBackward0' returned nan"):
        tiny(loss=loss).trained(ll.DetectAnomaly())
