from __future__ import annotations

import copy
import pickle
from collections import namedtuple
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch.utils.data import Dataset, Subset, TensorDataset

import legoloop as ll
from tests.models_of_others import Pictures

Pair = namedtuple("Pair", "image target")


@dataclass
class Sample:
    image: int
    target: int


@pytest.mark.parametrize(
    ("sample", "names", "record"),
    [
        ((1, 2), ["image", "target"], {"image": 1, "target": 2}),
        ([1, 2], ["image", "target"], {"image": 1, "target": 2}),
        ((1, 2), ["image"], {"image": 1}),
        ((1, 2), [None, "target"], {"target": 2}),
        ((1, 2), {"target": -1}, {"target": 2}),
        (Pair(1, 2), None, {"image": 1, "target": 2}),
        (Sample(1, 2), None, {"image": 1, "target": 2}),
        (Sample(1, 2), {"x": "image"}, {"x": 1}),
        ({"image": 1, "fine": 2}, {"image": "image", "target": "fine"}, {"image": 1, "target": 2}),
        ({"image": 1, "idx": "a"}, None, {"image": 1, "idx": "a"}),
        (1, "image", {"image": 1}),
    ],
)
def test_the_values_of_a_sample_get_their_names(sample: Any, names: Any, record: Any) -> None:
    assert ll.NamedDataset([sample] * 3, names)[2] == {"idx": 2, **record}


def test_a_data_set_of_torchvisions_trains_as_columns_do() -> None:
    pictures = Pictures()
    data = ll.NamedDataset(pictures, ["image", "target"], {"num_outputs": 10})
    columns = ll.ColumnDataset({"image": pictures.data, "target": pictures.targets})
    config = ll.LoaderConfig(batch_size=5)
    one, other = (ll.BatchStream(each, "train", 0, config) for each in (data, columns))
    for _ in range(12):
        batch, expected = next(one), next(other)
        assert batch.keys() == expected.keys()
        assert all(torch.equal(batch[key], expected[key]) for key in batch)
    assert (data.num_outputs, data.classes) == (10, pictures.classes)


def test_a_sampler_asks_the_data_set_inside() -> None:
    data = ll.NamedDataset(Pictures(), ["image", "target"])
    config = ll.LoaderConfig(batch_size=24, sampler=ll.ClassBalancedSampler("targets"))
    assert len(next(ll.BatchStream(data, "train", 0, config))["target"]) == 24


@pytest.mark.parametrize("num_workers", [0, pytest.param(2, marks=pytest.mark.slow)])
def test_a_random_transform_draws_by_position(num_workers: int) -> None:
    data = ll.NamedDataset(
        Pictures(transform=lambda image: image + torch.rand(())), ["image", "target"]
    )
    config = ll.LoaderConfig(batch_size=5, num_workers=num_workers)
    stream = ll.BatchStream(data, "train", 0, config)
    batches = [next(stream)["image"] for _ in range(7)]
    stream.load_state_dict({"position": 4})
    assert torch.equal(next(stream)["image"], batches[4])
    stream.close()


def test_many_are_served_at_once_by_those_that_can() -> None:
    tensors = TensorDataset(torch.arange(4.0), torch.arange(4))
    names = ["x", "target"]
    assert not hasattr(ll.NamedDataset(tensors, names), "__getitems__")
    subset: Dataset[Any] = Subset(tensors, [3, 1])
    data = ll.NamedDataset(subset, names)
    assert [record["idx"] for record in data.__getitems__([1, 0])] == [1, 0]
    batch = next(iter(ll.Loader(data, "val", 0, ll.LoaderConfig(batch_size=2))))
    assert batch["target"].tolist() == [3, 1]


def test_the_columns_of_a_whole_batch_get_other_names() -> None:
    columns = ll.ColumnDataset({"x": torch.arange(4.0), "idx": ["a", "b", "c", "d"]})
    data = ll.NamedDataset(columns, {"image": "x"})
    assert data.is_deterministic
    stream = ll.BatchStream(data, "train", 0, ll.LoaderConfig(batch_size=4))
    batch = next(stream)
    assert batch.keys() == {"image", "idx"}
    assert sorted(batch["image"].tolist()) == [0, 1, 2, 3]
    assert batch["image"].tolist() == batch["idx"].tolist()


def test_it_is_copied_and_pickled() -> None:
    data = ll.NamedDataset([(1, 2)], ["x", "y"], {"num_outputs": 3})
    for other in (copy.deepcopy(data), pickle.loads(pickle.dumps(data))):
        assert other[0] == data[0]
        assert other.num_outputs == 3
    with pytest.raises(AttributeError, match="nothing"):
        _ = data.nothing


class Unsized:
    def __iter__(self) -> Iterator[int]:
        yield 1


@pytest.mark.parametrize(
    ("dataset", "names", "message"),
    [
        ({"train": [1], "test": [1]}, None, "is a dict of train, test; give one of them"),
        (Unsized(), None, "dataset is a Unsized, which cannot be indexed"),
        ([1], 3, "names is 3; give a name"),
    ],
)
def test_what_cannot_be_one_is_refused(dataset: Any, names: Any, message: str) -> None:
    with pytest.raises(ll.ArgumentError, match=message):
        ll.NamedDataset(dataset, names)


@pytest.mark.parametrize(
    ("sample", "names", "message"),
    [
        ((1, 2), None, r"a sample of list is a tuple of 2; give the names .*, names=\[…\]"),
        ((1, 2), "image", "a sample of list is a tuple of 2; give the names"),
        ((1, 2), ["a", "b", "c"], "in which names looks for 'c' at 2"),
        (1, None, "a sample of list is a int; give its name, names=…"),
        ({"image": 1}, ["imag"], "a sample of list has no 'imag'; did you mean image"),
    ],
)
def test_a_sample_without_such_values_is_said(sample: Any, names: Any, message: str) -> None:
    with pytest.raises(ll.DataError, match=message):
        ll.NamedDataset([sample], names)[0]


class TestHuggingFace:
    """A set of ``datasets``, from memory."""

    @pytest.fixture
    def rows(self) -> Any:
        datasets = pytest.importorskip("datasets")
        return datasets.Dataset.from_dict(
            {
                "text": ["a b", "c", "d e f"],
                "input_ids": [[1, 2], [3], [4, 5, 6]],
                "label": [0, 1, 1],
            }
        )

    def test_it_is_read_as_tensors_and_padded(self, rows: Any) -> None:
        data = ll.NamedDataset(rows, {"ids": "input_ids", "target": "label", "text": "text"})
        config = ll.LoaderConfig(batch_size=3, collate=ll.PadCollate({"ids": 0}))
        batch = next(iter(ll.Loader(data, "val", 0, config)))
        assert batch["ids"].tolist() == [[1, 2, 0], [3, 0, 0], [4, 5, 6]]
        assert batch["target"].tolist() == [0, 1, 1]
        assert (batch["text"], batch["idx"].tolist()) == (["a b", "c", "d e f"], [0, 1, 2])

    def test_its_own_names_and_its_own_format_stay(self, rows: Any) -> None:
        record = ll.NamedDataset(rows)[1]
        assert list(record) == ["text", "input_ids", "label", "idx"]
        plain = ll.NamedDataset(rows.with_format("numpy"), ["label"])[0]
        assert type(plain["label"]).__module__ == "numpy"

    def test_samplers_find_its_columns_by_either_name(self, rows: Any) -> None:
        data = ll.NamedDataset(rows, {"target": "label", "ids": "input_ids"})
        for key in ("target", "label", ["target", "text"]):
            assert len(ll.ClassBalancedSampler(key)(data, torch.Generator())) == 3
        assert ll.WeightedSampler("target")(data, torch.Generator()).min() > 0
        with pytest.raises(ll.DataError, match="no column and no attribute 'length'"):
            ll.BucketSampler(2)(data, torch.Generator())

    def test_a_stream_of_it_can_be_resumed_anywhere(self, rows: Any) -> None:
        data = ll.NamedDataset(rows, {"target": "label"})
        stream = ll.BatchStream(data, "train", 0, ll.LoaderConfig(batch_size=2))
        batches = [next(stream)["idx"].tolist() for _ in range(6)]
        stream.load_state_dict({"position": 3})
        assert next(stream)["idx"].tolist() == batches[3]

    def test_its_splits_are_told_apart(self, rows: Any) -> None:
        datasets = pytest.importorskip("datasets")
        with pytest.raises(ll.ArgumentError, match="is a DatasetDict of train, val; give one"):
            ll.NamedDataset(datasets.DatasetDict(train=rows, val=rows))
