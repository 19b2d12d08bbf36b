from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import legoloop as ll
from tests.tiny import Net, Noisy, tiny, weights


class Odd(nn.Module):
    """Draws, counts its calls in a buffer, gives out a dict and calls a layer twice."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Linear(4, 4)
        self.unused = nn.Linear(2, 2)
        self.tied = nn.Linear(4, 4)
        self.tied.weight = self.body.weight
        self.tied.bias.requires_grad_(False)
        self.lstm = nn.LSTM(4, 3, batch_first=True)
        self.register_buffer("calls", torch.tensor(0.0))
        self.unused.eval()

    def forward(self, batch: dict[str, Any]) -> dict[str, Any]:
        self.calls += 1
        hidden = self.tied(self.body(self.body(batch["x"]))) + torch.rand(())
        sequence, _ = self.lstm(hidden[:, None])
        return {"logits": sequence[:, 0], "parts": [hidden, hidden], "names": batch["name"]}


def summary_of(model: nn.Module, batch: dict[str, Any] | None) -> list[str]:
    return ll.model_summary(model, ll.Feed(model, "cpu"), batch).splitlines()


BATCH = {"x": torch.ones(2, 4), "name": ["a", "b"]}


def test_tells_shapes_and_weights_of_every_layer() -> None:
    assert summary_of(Odd(), BATCH) == [
        "layer             output shape                         params  trainable",
        "Odd               logits (2, 3), parts (2, 4), (2, 4)     138        134",
        "  body: Linear    (2, 4)                                   20         20",
        "  unused: Linear                                            6          6",
        "  tied: Linear    (2, 4)                                   20         16",
        "  lstm: LSTM      (2, 1, 3), (1, 2, 3), (1, 2, 3)         108        108",
        "",
        "total params: 138 (552 B), trainable: 134, buffers: 4 B",
    ]


def test_without_a_batch_tells_the_weights_alone() -> None:
    model = nn.Linear(1000, 1000)
    assert summary_of(model, None)[-1] == (
        "total params: 1,001,000 (4 MB), trainable: 1,001,000, buffers: 0 B"
    )
    assert "(" not in summary_of(model, None)[1]


def test_weights_are_those_that_torch_counts() -> None:
    model = Net()
    root = summary_of(model, None)[1].split()
    assert int(root[1]) == sum(weight.numel() for weight in model.parameters())


def test_changes_nothing() -> None:
    model = Odd().train()
    model.unused.eval()
    before, flags = copy.deepcopy(model.state_dict()), [m.training for m in model.modules()]
    generator = torch.get_rng_state()

    summary_of(model, BATCH)

    assert all(torch.equal(model.state_dict()[name], value) for name, value in before.items())
    assert [m.training for m in model.modules()] == flags
    assert torch.equal(torch.get_rng_state(), generator)
    assert not any(module._forward_hooks for module in model.modules())


def test_a_model_that_fails_is_left_as_it_was_too() -> None:
    model = Odd().train()
    with pytest.raises(KeyError):
        summary_of(model, {"x": torch.ones(2, 4)})
    assert model.training
    assert model.calls == 0
    assert not any(module._forward_hooks for module in model.modules())


def test_refuses_weights_that_are_not_there_yet() -> None:
    model = nn.Sequential(nn.ReLU(), nn.LazyLinear(2))
    with pytest.raises(ll.ArgumentError, match="the weights of '1', a LazyLinear, are made when"):
        summary_of(model, None)


def test_refuses_to_feed_no_sample() -> None:
    parts = tiny()
    with pytest.raises(ll.ArgumentError, match="samples is 0"):
        ll.ModelSummary(parts.model, parts.feed, samples=0)


@pytest.mark.parametrize("num_workers", [0, 1])
def test_in_a_run_it_is_printed_and_written_and_the_run_is_the_same(
    num_workers: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bare = tiny(dataset=Noisy()).trained()
    parts = tiny(dataset=Noisy(), num_workers=num_workers)
    path = tmp_path / "new" / "model.txt"
    summary = ll.ModelSummary(parts.model, parts.feed, parts.loops["train"], path, samples=3)

    assert parts.trained(summary) == bare == weights(parts.model)
    assert capsys.readouterr().out == path.read_text()
    assert "logits (3, 3)" in path.read_text()


def test_may_print_nothing_and_write_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    parts = tiny()
    ll.ModelSummary(parts.model, parts.feed, parts.loops["train"], print=False).train_start()
    assert capsys.readouterr().out == ""


def test_a_resumed_run_tells_of_the_model_as_it_began(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    parts = tiny()
    first, second = (
        ll.ModelSummary(parts.model, parts.feed, path=tmp_path / name)
        for name in ("first", "second")
    )
    first.train_start()
    parts.model.requires_grad_(False)
    capsys.readouterr()

    second.load_state_dict(copy.deepcopy(first.state_dict()))
    second.train_start()

    assert (tmp_path / "second").read_text() == (tmp_path / "first").read_text()
    assert capsys.readouterr().out == ""
