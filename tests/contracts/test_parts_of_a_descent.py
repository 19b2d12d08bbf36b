"""What every public part of a descent keeps to: what it has no reason to change, it does not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import legoloop as ll
from legoloop.state.checkpoints import read_checkpoint, write_checkpoint
from tests.tiny import Tiny, tiny, weights

MADE: dict[str, tuple[Any, Callable[[], dict[str, Any]]]] = {
    "guard that stops": (ll.NonFiniteGuard, lambda: {"guard": ll.NonFiniteGuard("stop")}),
    "guard that skips": (ll.NonFiniteGuard, lambda: {"guard": ll.NonFiniteGuard("skip")}),
    "guard that warns": (ll.NonFiniteGuard, lambda: {"guard": ll.NonFiniteGuard("warn")}),
    "guard of gradients": (ll.NonFiniteGuard, lambda: {"guard": ll.NonFiniteGuard(gradients=True)}),
    "clip": (ll.GradientClipping, lambda: {"clip": ll.GradientClipping(max_norm=1e9)}),
    "scaler": (ll.grad_scaler, lambda: {"scaler": ll.grad_scaler(torch.device("cpu"))}),
    "batch_desc": (ll.DefaultBatchDesc, lambda: {"batch_desc": ll.DefaultBatchDesc()}),
}
every_part = pytest.mark.parametrize("name", MADE)


def with_part(name: str) -> Tiny:
    parts = tiny()
    made = MADE[name][1]()
    parts.descent = ll.GradientDescent(
        parts.opt, parts.model, parts.feed, parts.descent.loss, **made
    )
    return parts


@every_part
def test_a_run_that_gives_no_reason_is_the_same_to_the_bit(name: str) -> None:
    assert with_part(name).trained() == tiny().trained()


@every_part
def test_a_run_that_is_killed_goes_on_with_it(name: str, tmp_path: Path) -> None:
    class SavesAndDies:
        steps = 0

        def batch_end(self, step: ll.Step) -> ll.ShouldSave | None:
            self.steps += 1
            return ll.ShouldSave(self.save) if self.steps == 8 else None

        def save(self, state: dict[str, Any]) -> None:
            write_checkpoint(tmp_path / "kept", state)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        with_part(name).host(SavesAndDies()).run()
    resumed = with_part(name)
    host = resumed.host()
    host.load_state_dict(read_checkpoint(tmp_path / "kept"))
    host.run()
    assert weights(resumed.model) == with_part(name).trained()
