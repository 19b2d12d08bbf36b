from __future__ import annotations

import numpy as np
import pytest
import torch

from legoloop.core.errors import DataError
from legoloop.data.datasets import ColumnDataset, SizedDataset
from legoloop.data.fingerprint import fingerprint
from legoloop.data.loader_config import LoaderConfig
from legoloop.data.loaders import Loader


def test_a_sized_dataset_must_have_both_methods():
    class Half(SizedDataset):
        def __len__(self):
            return 1

    with pytest.raises(TypeError, match="__getitem__"):
        Half()


def test_columns_are_served_by_the_batch_and_by_the_sample():
    data = ColumnDataset({"x": torch.tensor([[1, 2], [3, 4], [5, 6]])})
    assert len(data) == 3
    batch = data.__getitems__([2, 0])
    assert batch["x"].tolist() == [[5, 6], [1, 2]]
    assert batch["idx"].tolist() == [2, 0]
    assert data[1]["x"].tolist() == [3, 4]
    assert data[1]["idx"] == 1


def test_an_idx_of_ones_own_is_kept():
    data = ColumnDataset({"idx": torch.tensor([7, 8]), "x": torch.ones(2)})
    assert data.__getitems__([1])["idx"].tolist() == [8]


def test_a_batch_is_a_copy():
    data = ColumnDataset({"x": torch.zeros(2)})
    data.__getitems__([0, 1])["x"] += 1
    assert data.columns["x"].tolist() == [0, 0]


def test_the_transform_sees_the_whole_batch():
    data = ColumnDataset(
        {"x": torch.arange(3)}, transform=lambda batch: {**batch, "sum": batch["x"].sum().repeat(2)}
    )
    assert data.__getitems__([1, 2])["sum"].tolist() == [3, 3]
    assert not data.is_deterministic


def test_what_the_data_tell_are_attributes():
    assert ColumnDataset({"x": torch.ones(1)}, image_shape=(1, 2, 2)).image_shape == (1, 2, 2)


@pytest.mark.parametrize(
    ("columns", "shown"),
    [
        ({"x": torch.ones(2), "y": torch.ones(3)}, "x: 2, y: 3"),
        ({"idx": torch.ones(2), "x": torch.ones(3)}, "idx: 2, x: 3"),
        ({}, "there are none"),
    ],
)
def test_columns_of_different_lengths_are_refused(columns, shown):
    with pytest.raises(DataError) as refused:
        ColumnDataset(columns)
    assert str(refused.value) == f"columns differ in length ({shown})"


def test_a_subclass_that_serves_batches_its_own_way_is_not_taken_for_plain():
    class Noisy(ColumnDataset):
        def __getitems__(self, items):
            return {"x": torch.rand(len(items))}

    class Named(ColumnDataset):
        pass

    assert not Noisy({"x": torch.ones(1)}).is_deterministic
    assert Named({"x": torch.ones(1)}).is_deterministic


@pytest.mark.parametrize("names", [["a", "b", "c"], ("a", "b", "c"), np.array(["a", "b", "c"])])
def test_samples_may_have_names(names):
    data = ColumnDataset({"x": torch.tensor([5, 6, 7]), "idx": names})
    assert data.__getitems__([2, 0])["idx"] == ["c", "a"]
    assert data.__getitems__(torch.tensor([1]))["idx"] == ["b"]
    assert data[1] == {"x": torch.tensor(6), "idx": "b"}
    assert data.device == torch.device("cpu")
    assert data.to("meta").columns["idx"] == ["a", "b", "c"]
    assert data.nbytes == 3 * 8 + 3


def test_the_names_come_with_the_batches_of_a_loader():
    data = ColumnDataset({"x": torch.arange(5), "idx": list("abcde")})
    loader = Loader(data, name="val", seed=0, config=LoaderConfig(batch_size=2))
    assert [batch["idx"] for batch in loader] == [["a", "b"], ["c", "d"], ["e"]]


def test_the_names_are_part_of_what_identifies_the_data():
    one, other = (
        ColumnDataset({"x": torch.ones(2), "idx": names}) for names in (["a", "b"], ["a", "c"])
    )
    assert fingerprint(one) is not None
    assert fingerprint(one) != fingerprint(other)


@pytest.mark.parametrize(
    ("column", "kind"), [([1, 2], "list"), (np.ones(2), "ndarray"), ({"a": 1, "b": 2}, "dict")]
)
def test_what_is_no_column_is_told_with_what_to_give(column, kind):
    with pytest.raises(DataError) as refused:
        ColumnDataset({"x": torch.ones(2), "y": column})
    assert str(refused.value) == (
        f"column 'y' is a {kind}; give a tensor (torch.as_tensor), or names: a list with a str for "
        "each sample"
    )
