"""Batches whose columns are nested: counted, cut, moved and compiled like any other."""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils.rnn import PackedSequence, pack_sequence, pad_packed_sequence

import legoloop as ll
from legoloop.training.step.micro_batches import join, split_batch

SAMPLES = 22
Views = namedtuple("Views", "left right")
Record = dict[str, Any]


@dataclass
class Sides:
    left: torch.Tensor
    right: torch.Tensor


Collate = Callable[[list[Record]], dict[str, Any]]


def stacked(records: list[Record]) -> dict[str, torch.Tensor]:
    return {key: torch.stack([torch.as_tensor(r[key]) for r in records]) for key in records[0]}


class Data:
    """Records of two views; ``shape`` says how they lie in a record."""

    def __init__(self, shape: Callable[[torch.Tensor, torch.Tensor], Any] | None = None) -> None:
        self.shape = shape
        generator = torch.Generator().manual_seed(0)
        self.views = torch.randn(SAMPLES, 2, 4, generator=generator)
        self.targets = torch.randn(SAMPLES, generator=generator)

    def __len__(self) -> int:
        return SAMPLES

    def __getitem__(self, item: int) -> Record:
        left, right = self.views[item]
        record = {"views": self.shape(left, right)} if self.shape else {"left": left}
        return {**record, "target": self.targets[item]}


class Net(nn.Module):
    """The mean over the views."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer = nn.Linear(4, 1)

    def forward(self, batch: dict[str, Any]) -> dict[str, torch.Tensor]:
        views = batch["views"] if "views" in batch else [batch["left"]]
        if isinstance(views, PackedSequence):
            packed = views._replace(data=self.layer(views.data))
            return {"y": pad_packed_sequence(packed, batch_first=True)[0].sum((1, 2))}
        if isinstance(views, Sides):
            views = [views.left, views.right]
        if isinstance(views, dict):
            views = list(views.values())
        return {"y": torch.stack([self.layer(view).squeeze(-1) for view in views]).mean(0)}


def squared(batch: dict[str, Any], outputs: dict[str, Any]) -> torch.Tensor:
    errors: torch.Tensor = (outputs["y"] - batch["target"]) ** 2
    return errors


def trained(
    data: Any, batch_size: int, collate: Collate | None = None, loss: Any = squared, **settings: Any
) -> tuple[nn.Module, ll.Counter, ll.SimpleEpoch]:
    model, counter = Net(), ll.Counter()
    given = {"collate": collate} if collate else {}
    loop = ll.BatchStream(data, "train", 0, ll.LoaderConfig(batch_size=batch_size, **given))
    epoch = ll.SimpleEpoch(loop)
    opt = torch.optim.SGD(model.parameters(), lr=0.1)
    descent = ll.GradientDescent(opt, model, ll.Feed(model, "cpu"), loss, **settings)
    ll.TrainingHost([counter, epoch, descent, ll.LastEpoch(counter, 1)], seed=0).run()
    return model, counter, epoch


FIRST: dict[str, Collate] = {
    "a dict": lambda r: {"inputs": {"ids": torch.zeros(len(r)), "mask": torch.zeros(len(r))}},
    "two views": lambda r: {"pair": [torch.zeros(len(r))] * 2},
    "a dataclass": lambda r: {"sides": Sides(torch.zeros(len(r)), torch.zeros(len(r)))},
    "a packed sequence": lambda r: {"seq": pack_sequence([torch.ones(3)] * len(r))},
    "edges": lambda r: {"edges": torch.zeros(2, 50)},
    "a scalar": lambda r: {"temperature": torch.tensor(2.0)},
    "a text": lambda r: {"language": "en"},
    "offsets": lambda r: {"offsets": torch.zeros(len(r) + 1)},
}
"""What may be the first column of a batch."""


@pytest.mark.parametrize("first", FIRST.values(), ids=FIRST)
@pytest.mark.parametrize("micro_batch_size", [None, 3])
def test_samples_are_those_that_the_stream_cut(
    first: Collate, micro_batch_size: int | None
) -> None:
    model, counter, epoch = trained(
        Data(), 8, lambda r: {**first(r), **stacked(r)}, micro_batch_size=micro_batch_size
    )
    assert (counter.steps, counter.samples, ll.total_steps(epoch, 1)) == (3, SAMPLES, 3)
    plain, *_ = trained(Data(), 8, stacked)
    torch.testing.assert_close(model.layer.bias, plain.layer.bias)


@pytest.mark.parametrize("first", FIRST.values(), ids=FIRST)
def test_batches_that_are_repeated_or_mixed_know_their_samples(first: Collate) -> None:
    config = ll.LoaderConfig(batch_size=8, collate=lambda r: {**first(r), **stacked(r)})
    streams = {name: ll.BatchStream(Data(), name, 0, config) for name in ("a", "b")}
    for stream in (
        ll.RepeatedBatches(streams["a"], num_batches=3),
        ll.MixedStream(streams, {"a": 1, "b": 1}),
    ):
        sizes = [size for _, size in ll.SimpleEpoch(stream, epoch_size=44).batches()]
        assert set(sizes) <= {8, 6}
        assert len(sizes) == stream.num_batches_for(44)


SHAPES: dict[str, Callable[[torch.Tensor, torch.Tensor], Any]] = {
    "tuple": lambda left, right: (left, right),
    "list": lambda left, right: [left, right],
    "dict": lambda left, right: {"left": left, "right": right},
    "namedtuple": Views,
    "dataclass": Sides,
}
"""How two views may lie in a record."""


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@given(batch_size=st.integers(2, 9), micro=st.integers(1, 4))
@settings(max_examples=6, deadline=None)
def test_micro_batches_of_views_make_the_step_of_the_whole(
    shape: Any, batch_size: int, micro: int
) -> None:
    """Also a batch of as many samples as there are views."""
    whole, *_ = trained(Data(shape), batch_size)
    parts, *_ = trained(Data(shape), batch_size, micro_batch_size=micro)
    torch.testing.assert_close(parts.layer.bias, whole.layer.bias)


def test_micro_batches_of_packed_sequences_make_the_step_of_the_whole() -> None:
    def packs(records: list[Record]) -> dict[str, Any]:
        sequences = [r["views"] for r in records]
        return {
            "views": pack_sequence(sequences, enforce_sorted=False),
            "target": torch.stack([r["target"] for r in records]),
        }

    data = Data(lambda left, right: torch.stack([left, right])[: 1 + int(left[0] > 0)])
    whole, *_ = trained(data, 8, packs)
    parts, *_ = trained(data, 8, packs, micro_batch_size=3)
    torch.testing.assert_close(parts.layer.bias, whole.layer.bias)


def assert_equal(left: Any, right: Any) -> None:
    assert type(left) is type(right)
    if isinstance(left, torch.Tensor):
        assert torch.equal(left, right)
    elif isinstance(left, Sides):
        assert_equal([left.left, left.right], [right.left, right.right])
    elif isinstance(left, dict):
        assert_equal(list(left.values()), list(right.values()))
    elif isinstance(left, list | tuple):
        for one, other in zip(left, right, strict=True):
            assert_equal(one, other)
    else:
        assert left == right


nested = st.recursive(
    st.sampled_from(["rows", "names", "scale", "shared", "ragged", "packed"]),
    lambda inner: (
        st.dictionaries(st.sampled_from("abc"), inner, min_size=1, max_size=3)
        | st.builds(Sides, inner, inner)
        | st.tuples(inner, inner, inner, inner, inner, inner, inner)
    ),
    max_leaves=6,
)


@given(form=nested, samples=st.integers(1, 6), size=st.integers(1, 4))
@settings(max_examples=60, deadline=None)
def test_parts_joined_are_the_whole(form: Any, samples: int, size: int) -> None:
    def made(form: Any) -> Any:
        if isinstance(form, dict):
            return {key: made(inner) for key, inner in form.items()}
        if isinstance(form, tuple):
            return tuple(map(made, form))
        if isinstance(form, Sides):
            return Sides(made(form.left), made(form.right))
        return {
            "rows": torch.arange(samples * 2).view(samples, 2),
            "names": [f"s{n}" for n in range(samples)],
            "scale": 0.5,
            "shared": torch.ones(9, 1),
            "ragged": [torch.full((7 + n,), n) for n in range(samples)],
            "packed": pack_sequence([torch.full((n + 1,), n) for n in range(samples)][::-1]),
        }[form]

    batch = {"idx": torch.arange(samples), "form": made(form)}
    parts = split_batch(batch, size)
    again = join(parts, [part.num_samples for part in parts])
    assert [part.num_samples for part in parts] == [len(part["idx"]) for part in parts]
    assert_equal(again["form"], batch["form"])
