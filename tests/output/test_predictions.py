from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import legoloop as ll
from tests.tiny import tiny


class Accumulated:
    """An evaluation that has accumulated the given arrays over ``val``."""

    at, names = "train_end", ("val",)

    def __init__(self, **arrays: Any) -> None:
        self.arrays = arrays

    def accumulated(self, name: str) -> dict[str, Any]:
        assert name == "val"
        return self.arrays


def written(path: Path, arrays: dict[str, Any], **given: Any) -> pd.DataFrame:
    ll.CsvLogits(path, Accumulated(**arrays), acc_key="val", **given).train_end()
    return pd.read_csv(path, dtype={"idx": object})


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("predictions") / "deep" / "predicts.csv"


finite = st.floats(width=32, allow_nan=False)


@given(
    logits=hnp.arrays(np.float32, st.tuples(st.integers(1, 5), st.integers(1, 4)), elements=finite)
)
def test_float32_reads_back_exactly(path: Path, logits: np.ndarray[Any, Any]) -> None:
    table = written(path, {"idx": np.arange(len(logits)), "logits": logits})

    back = table.drop(columns="idx").to_numpy().astype(np.float32)
    np.testing.assert_array_equal(back, logits)


@given(idx=st.lists(st.text("ab,\"'é0 \n", min_size=1), min_size=1, max_size=6, unique=True))
def test_idx_may_be_strings(path: Path, idx: list[str]) -> None:
    written(path, {"idx": np.array(idx, dtype=object), "logits": np.zeros(len(idx))})

    with path.open(newline="") as file:
        assert [row["idx"] for row in csv.DictReader(file)] == idx


def test_columns_are_named_after_the_array_or_as_told(path: Path) -> None:
    arrays = {"idx": np.array([3, 1]), "probas": np.array([[0.25, 0.75], [1.0, 0.0]])}

    assert list(written(path, arrays, key="probas")) == ["idx", "proba0", "proba1"]
    table = written(path, arrays, key="probas", names=["no", "yes"])
    assert path.read_text() == "idx,no,yes\n3,0.25,0.75\n1,1.0,0.0\n"
    assert len(table) == 2


def test_one_value_a_sample_is_one_column(path: Path) -> None:
    arrays = {"sample": np.array([5]), "prediction": np.array([1.5], dtype=np.float32)}
    written(path, arrays, index="sample", key="prediction")
    assert path.read_text() == "sample,prediction0\n5,1.5\n"


@pytest.mark.parametrize(
    ("arrays", "given", "message"),
    [
        (
            {"idx": np.array([1, 2, 1, 1]), "logits": np.zeros((4, 2))},
            {},
            r"idx 1 occurs 3 times in 'val'; it must tell the samples apart \(repeated: 1\)",
        ),
        (
            {"idx": np.array(["a", "a"], dtype=object), "logits": np.zeros((2, 2))},
            {},
            "idx a occurs 2 times in 'val'",
        ),
        (
            {"idx": np.arange(2), "logits": np.zeros((2, 3))},
            {"names": ["a", "b"]},
            "predicts.csv: 2 names for 3 columns of 'logits'",
        ),
        (
            {"idx": np.arange(2), "logit": np.zeros((2, 3))},
            {},
            r"predicts.csv needs 'logits', which no accumulator collects; did you mean logit\?",
        ),
        (
            {"logits": np.zeros((2, 3))},
            {},
            "predicts.csv needs 'idx', which no accumulator collects; there are logits",
        ),
    ],
)
def test_refuses_what_would_not_be_one_row_a_sample(
    tmp_path: Path, arrays: dict[str, Any], given: dict[str, Any], message: str
) -> None:
    with pytest.raises(ll.DataError, match=message):
        written(tmp_path / "predicts.csv", arrays, **given)
    assert list(tmp_path.iterdir()) == []


def test_refuses_a_data_set_that_is_not_evaluated() -> None:
    with pytest.raises(ll.ArgumentError, match=r"acc_key is 'vall'.*did you mean val\?"):
        ll.CsvLogits("predicts.csv", Accumulated(), acc_key="vall")


def test_a_run_writes_the_outputs_of_its_final_weights(tmp_path: Path) -> None:
    parts = tiny()
    acc = parts.loaders_acc()
    parts.trained(ll.CsvLogits(tmp_path / "predicts.csv", acc, acc_key="train"), acc)

    parts.model.eval()
    with torch.no_grad():
        batches = [(batch["idx"], parts.model(batch)["logits"]) for batch in parts.loaders["train"]]
    table = pd.read_csv(tmp_path / "predicts.csv")
    assert table["idx"].tolist() == torch.cat([idx for idx, _ in batches]).tolist()
    assert list(table) == ["idx", "logit0", "logit1", "logit2"]
    expected = torch.cat([logits for _, logits in batches]).numpy()
    np.testing.assert_array_equal(table.iloc[:, 1:].to_numpy(np.float32), expected)
