"""What a module carries from step to step outside of its state is told."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.utils import spectral_norm, weight_norm

import legoloop as ll
from tests.tiny import Net, mean_loss, tiny


class Plain(Net):
    """Nothing is carried."""

    def carry(self, logits: torch.Tensor) -> None: ...

    def forward(self, batch: dict[str, Any]) -> dict[str, torch.Tensor]:
        outputs = super().forward(batch)
        self.carry(outputs["logits"].detach())
        return outputs


class Hidden(Plain):
    def carry(self, logits: torch.Tensor) -> None:
        self.hidden = logits


class InPlace(Plain):
    def __init__(self) -> None:
        super().__init__()
        self.bank = torch.zeros(3)

    def carry(self, logits: torch.Tensor) -> None:
        self.bank += logits.sum(dim=0)


class Inside(Plain):
    def __init__(self) -> None:
        super().__init__()
        self.layers[2].replay = []

    def carry(self, logits: torch.Tensor) -> None:
        replay: list[torch.Tensor] = self.layers[2].replay  # type: ignore[assignment]
        replay[:] = [logits]


class Buffer(Plain):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("hidden", torch.zeros(3))

    def carry(self, logits: torch.Tensor) -> None:
        self.hidden = logits.sum(dim=0)


class Mask(Plain):
    """It is made once, when it is needed."""

    mask: torch.Tensor | None = None

    def carry(self, logits: torch.Tensor) -> None:
        if self.mask is None:
            self.mask = torch.ones(4)


class MaskEachTime(Plain):
    def carry(self, logits: torch.Tensor) -> None:
        self.mask = torch.ones(4)


class Normed(Plain):
    """Torch keeps the weight that it computes in every step in a plain attribute."""

    def __init__(self) -> None:
        super().__init__()
        with pytest.warns(FutureWarning, match="weight_norm"):
            weight_norm(self.layers[0])
        spectral_norm(self.layers[4])


class GivesMemoryBack(Plain):
    """As modules of which each rank has a shard do with what they have gathered."""

    def __init__(self) -> None:
        super().__init__()
        self.gathered = torch.ones(3)

    def carry(self, logits: torch.Tensor) -> None:
        self.gathered.untyped_storage().resize_(0)
        self.nowhere = torch.ones(3, device="meta")


class NotPersistent(Plain):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("hidden", torch.zeros(3), persistent=False)

    def carry(self, logits: torch.Tensor) -> None:
        self.hidden = logits.sum(dim=0)


class Counts(Plain):
    calls = 0

    def carry(self, logits: torch.Tensor) -> None:
        self.calls += 1


class SavesMore(Counts):
    def get_extra_state(self) -> int:
        return self.calls


class Cached(Plain):
    """A buffer that is the same in each step, as torch's own caches are."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("positions", torch.arange(4), persistent=False)


class Nan(Plain):
    def carry(self, logits: torch.Tensor) -> None:
        self.nothing, self.number = torch.tensor([1.0, torch.nan]), float("nan")


class Recurrent(Plain):
    def __init__(self) -> None:
        super().__init__()
        self.recurrent = nn.LSTM(3, 3)

    def carry(self, logits: torch.Tensor) -> None:
        self.recurrent(logits)


class Saves:
    def train_start(self) -> ll.ShouldSave:
        return ll.ShouldSave(lambda state: None)


def warnings_of(model: nn.Module, caplog: pytest.LogCaptureFixture, *others: object) -> list[str]:
    parts = tiny()
    opt = torch.optim.SGD(model.parameters(), lr=0.01)
    parts.descent = ll.GradientDescent(opt, model, ll.Feed(model, "cpu"), mean_loss)
    with caplog.at_level(logging.WARNING, "legoloop"):
        parts.host(*others).run()
    return [record.getMessage() for record in caplog.records]


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (Hidden, "hidden"),
        (InPlace, "bank"),
        (Inside, "layers.2.replay.0"),
        (NotPersistent, "hidden"),
        (Counts, "calls"),
    ],
)
def test_it_is_told_once(
    kind: Callable[[], nn.Module], name: str, caplog: pytest.LogCaptureFixture
) -> None:
    (message,) = warnings_of(kind(), caplog, Saves())
    assert message.startswith(
        f"these change from step to step and are in no checkpoint: GradientDescent.model.{name}; "
        "if a step depends on what the one before left there, make it a buffer"
    )


@pytest.mark.parametrize(
    "kind",
    [
        Plain,
        Buffer,
        Mask,
        MaskEachTime,
        Normed,
        Recurrent,
        GivesMemoryBack,
        SavesMore,
        Cached,
        Nan,
    ],
)
def test_what_is_saved_or_the_same_is_not(
    kind: Callable[[], nn.Module], caplog: pytest.LogCaptureFixture
) -> None:
    assert warnings_of(kind(), caplog, Saves()) == []


def test_a_run_that_saves_nothing_is_not_looked_at(caplog: pytest.LogCaptureFixture) -> None:
    assert warnings_of(Hidden(), caplog) == []


class Centred:
    """A loss that is no module."""

    def __init__(self, start: Any) -> None:
        self.centre, self.scale = start, 1.0

    def __call__(self, batch: dict[str, Any], outputs: dict[str, Any]) -> torch.Tensor:
        mean = outputs["logits"].detach().mean()
        self.centre = self.centre + (mean if isinstance(self.centre, torch.Tensor) else mean.item())
        return mean_loss(batch, {"logits": outputs["logits"] - self.centre})


@pytest.mark.parametrize("start", [0.0, torch.zeros(())], ids=["number", "tensor"])
def test_a_loss_that_is_no_module(start: Any, caplog: pytest.LogCaptureFixture) -> None:
    parts = tiny()
    parts.descent = ll.GradientDescent(parts.opt, parts.model, parts.feed, Centred(start))
    with caplog.at_level(logging.WARNING, "legoloop"):
        parts.host(Saves()).run()
    (message,) = [record.getMessage() for record in caplog.records]
    assert "are in no checkpoint: GradientDescent.loss.centre; if" in message
