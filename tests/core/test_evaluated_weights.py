from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import legoloop as ll
from legoloop.app.run.trained_weights import load_weights
from legoloop.core.evaluated_weights import evaluated_weights
from legoloop.state.checkpoints import write_checkpoint
from tests.tiny import Net, Tiny, mean_loss, tiny, weights

schedulefree = pytest.importorskip("schedulefree")


def free(num_epochs: int = 3) -> Tiny:
    parts = tiny(num_epochs)
    parts.opt = schedulefree.AdamWScheduleFree(parts.model.parameters(), lr=0.05)
    parts.descent = ll.GradientDescent(parts.opt, parts.model, parts.feed, mean_loss)
    return parts


def hand_written(num_epochs: int) -> tuple[bytes, list[torch.Tensor]]:
    """The weights after a loop as its authors write it, and what it evaluated after each epoch.

    The weights that are trained are kept over an evaluation, since the optimizer's two calls
    round; buffers are not changed by one.
    """
    parts = free(num_epochs=0)
    stream, model, opt, seen = parts.loops["train"], parts.model, parts.opt, []
    trained: dict[str, Any] | None = None
    torch.manual_seed(0)
    for _ in range(num_epochs):
        opt.train()  # type: ignore[attr-defined]
        model.train()
        if trained is not None:
            model.load_state_dict(trained)
        for _ in range(6):
            batch = next(stream)
            opt.zero_grad()
            mean_loss(batch, model(batch)).backward()
            opt.step()
        trained = {name: value.clone() for name, value in model.state_dict().items()}
        opt.eval()  # type: ignore[attr-defined]
        model.eval()
        with torch.no_grad():
            seen.append(model({"x": torch.ones(1, 4)})["logits"])
    return weights(model), seen


class Looks:
    """Evaluates after each epoch, as plugins do."""

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self.seen: list[torch.Tensor] = []

    def epoch_end(self) -> None:
        from legoloop.core.eval_mode import evaluation_mode

        with evaluation_mode(self.model):
            self.seen.append(self.model({"x": torch.ones(1, 4)})["logits"])


def test_equals_a_hand_written_loop_bit_for_bit() -> None:
    parts = free()
    looks = Looks(parts.model)
    ends, seen = hand_written(3)
    assert parts.trained(looks) == ends
    assert all(map(torch.equal, looks.seen, seen))


def test_looking_does_not_change_the_training() -> None:
    parts = free()
    assert parts.trained(Looks(parts.model), parts.loops_acc()) == free().trained()


def test_the_weights_in_use_differ_while_it_trains_only() -> None:
    parts = free(num_epochs=1)
    differ = []

    class Compares:
        def epoch_end(self) -> None:
            trained = weights(parts.model)
            with evaluated_weights(nn.Sequential(parts.model)):  # as a part of another model
                differ.append(weights(parts.model) != trained)
            assert weights(parts.model) == trained

        def train_end(self) -> None:
            trained = weights(parts.model)
            with evaluated_weights(parts.model):
                differ.append(weights(parts.model) != trained)

    parts.trained(Compares())
    assert differ == [True, False]


def test_a_checkpoint_has_the_weights_to_be_used(tmp_path: Path) -> None:
    parts = free(num_epochs=2)
    kept: list[dict[str, Any]] = []

    class Saves:
        def epoch_end(self) -> ll.ShouldSave:
            return ll.ShouldSave(kept.append)

        def train_end(self) -> ll.ShouldSave:
            return ll.ShouldSave(kept.append)

    host = parts.host(Saves())
    host.run()
    for number, state in enumerate([kept[0], kept[-1]]):
        write_checkpoint(tmp_path / str(number), state)
    early, late = Net(), Net()
    load_weights(early, tmp_path / "0")
    load_weights(late, tmp_path / "1")
    assert weights(late) == weights(parts.model)
    assert weights(early) == free(num_epochs=1).trained()


def test_the_best_weights_are_those_that_were_evaluated(tmp_path: Path) -> None:
    parts = free()

    class FirstIsBest:
        epochs = 0

        def epoch_end(self) -> None:
            self.epochs += 1

        def scalars(self) -> dict[str, float]:
            return {"val/loss": float(self.epochs)}

    source = FirstIsBest()
    best = ll.BestModelWeights(parts.model, tmp_path / "best", source, "val/loss", restore=True)
    assert parts.trained(source, best) == free(num_epochs=1).trained()


def test_another_optimizer_is_not_switched() -> None:
    parts = tiny()
    trained = weights(parts.model)
    with evaluated_weights(parts.model):
        assert weights(parts.model) == trained
    assert "is_training" not in parts.descent.state_dict()
