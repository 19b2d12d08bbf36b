from __future__ import annotations

import csv
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import legoloop as ll
from legoloop.core.errors import ArgumentError
from legoloop.output.predictions import csv_predictions as predictions
from legoloop.output.predictions.csv_predictions import (
    chunk_rows,
    classes,
    merge_batches,
    probabilities,
)
from tests.tiny import Tiny, tiny


class Accumulated:
    """An evaluation that has accumulated the given arrays over ``val``."""

    when, datasets = "train_end", ("val",)

    def __init__(self, **arrays: Any) -> None:
        self.arrays = arrays

    def collect(self, name: str) -> dict[str, Any]:
        assert name == "val"
        return self.arrays


def written(path: Path, arrays: dict[str, Any], **given: Any) -> pd.DataFrame:
    ll.CsvLogits(path, Accumulated(**arrays), acc_key="val", **given).train_end()
    return pd.read_csv(path, dtype={"idx": object})


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("predictions") / "deep" / "predicts.csv"


finite = st.floats(width=32, allow_nan=False)


@pytest.mark.parametrize(
    ("target", "rows"),
    [
        (np.array([1, 0]), "idx,target\n7,1\n3,0\n"),
        (np.array([[1.0], [0.5]]), "idx,target\n7,1.0\n3,0.5\n"),
        (np.array([[0.25, 0.75], [1, 0]]), "idx,target0,target1\n7,0.25,0.75\n3,1.0,0.0\n"),
        (np.zeros((2, 3)), None),
        (np.zeros(()), None),
        (["a", "b"], None),
        (None, None),
    ],
)
def test_targets_are_written_beside_what_they_are_of(
    tmp_path: Path, target: Any, rows: str | None
) -> None:
    arrays = {"idx": np.array([7, 3]), "logits": np.zeros((2, 2), np.float32)}
    arrays |= {} if target is None else {"target": target}
    plain = tmp_path / "plain.csv"
    written(plain, arrays)
    beside = tmp_path / "deep" / "targets.csv"
    written(tmp_path / "a.csv", arrays, targets=beside)
    assert (tmp_path / "a.csv").read_bytes() == plain.read_bytes()
    assert (beside.read_text() if beside.exists() else None) == rows


def test_targets_of_what_is_streamed_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="targets are read from an accumulator; give null with"):
        ll.Predictions(
            tmp_path / "a.csv", Accumulated(), "val", streamed=True, targets=tmp_path / "b.csv"
        )


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
            r"idx 1 occurs 3 times in 'val'; it must be unique \(1 values are repeated\)",
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
            {"idx": np.array([[7], [3]]), "logits": np.zeros((2, 2))},
            {},
            r"predicts.csv: 'idx' has the shape \(2, 1\); .* one value per sample, \(2,\)",
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


class Streamed:
    """An evaluation that hands out a few samples at a time and accumulates none."""

    when, datasets = "train_end", ("val",)

    def __init__(self, *batches: dict[str, Any]) -> None:
        self.batches = batches
        self.is_open = False

    def collect(self, name: str) -> dict[str, Any]:
        raise AssertionError("nothing is to be accumulated")

    def iterate(self, name: str, keys: Any) -> Iterator[dict[str, Any]]:
        self.is_open = True
        try:
            for batch in self.batches:
                yield {key: np.asarray(batch[key]) for key in keys}
        finally:
            self.is_open = False


LOGITS = np.array([[0.0, 2.0, 1.0], [-1e4, 0.0, 1e4]], dtype=np.float32)


def test_probabilities_are_the_softmax_of_logits() -> None:
    found = probabilities(LOGITS)
    assert found.dtype == np.float32
    expected = torch.softmax(torch.from_numpy(LOGITS), dim=1).numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_probabilities_of_whole_numbers_are_those_of_the_same_floats() -> None:
    whole = np.array([[0, 2, 1], [0, -3, 0]])
    np.testing.assert_array_equal(probabilities(whole), probabilities(whole.astype(np.float64)))
    assert probabilities(np.array([[True]])).tolist() == probabilities(np.array([[1.0]])).tolist()


def test_probabilities_of_a_single_logit_are_those_of_both_classes() -> None:
    logits = np.array([[-1e4], [-2.0], [0.0], [2.0], [1e4]], dtype=np.float32)
    positive = torch.sigmoid(torch.from_numpy(logits))[:, 0]
    np.testing.assert_allclose(probabilities(logits)[:, 1], positive, rtol=1e-6)
    np.testing.assert_allclose(probabilities(logits)[:, 0], positive.flip(0), rtol=1e-6)


def test_classes_are_the_largest_logit_or_those_above_zero() -> None:
    assert classes(LOGITS).tolist() == [[1], [2]]
    assert classes(np.array([[-1.0], [0.0], [0.5]])).tolist() == [[0], [0], [1]]


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
@pytest.mark.parametrize(
    ("kind", "columns"),
    [
        ("values", ["logit0", "logit1", "logit2"]),
        ("probabilities", ["probability0", "probability1", "probability2"]),
        ("classes", ["class"]),
    ],
)
def test_each_kind_in_each_format_streamed_or_not(
    tmp_path: Path, kind: Any, columns: list[str], suffix: str
) -> None:
    idx = np.array([5, 3])
    path, other = tmp_path / f"a.{suffix}", tmp_path / f"b.{suffix}"
    batches = [{"idx": idx[n : n + 1], "logits": LOGITS[n : n + 1]} for n in range(2)]

    whole: Any = Accumulated(idx=idx, logits=LOGITS)
    ll.Predictions(path, whole, "val", kind).train_end()
    ll.Predictions(other, Streamed(*batches), "val", kind, streamed=True).train_end()

    read: Any = pl.read_csv if suffix == "csv" else pl.read_parquet
    table = read(path)
    assert table.equals(read(other))
    assert table.columns == ["idx", *columns]
    made = {"values": LOGITS, "probabilities": probabilities(LOGITS), "classes": classes(LOGITS)}
    np.testing.assert_array_equal(table.drop("idx").to_numpy().astype(np.float32), made[kind])


def test_any_entry_can_be_written_under_any_names(tmp_path: Path) -> None:
    features = np.arange(8.0).reshape(2, 2, 2)
    whole: Any = Accumulated(name=np.array(["x", "y"], dtype=object), features=features)
    ll.Predictions(
        tmp_path / "a.csv", whole, "val", key="features", index="name", columns="abcd"
    ).train_end()
    assert (
        tmp_path / "a.csv"
    ).read_text() == "name,a,b,c,d\nx,0.0,1.0,2.0,3.0\ny,4.0,5.0,6.0,7.0\n"


def test_no_samples_leave_a_header(tmp_path: Path) -> None:
    whole: Any = Accumulated(idx=np.empty(0, dtype=int), logits=np.empty((0, 2)))
    for kind in ("values", "probabilities"):
        ll.Predictions(tmp_path / "a.csv", whole, "val", kind=kind).train_end()  # type: ignore[arg-type]
        assert len((tmp_path / "a.csv").read_text().splitlines()) == 1


rows = st.tuples(st.integers(0, 40), st.integers(1, 5))


@given(rows, st.lists(st.integers(0, 40), max_size=5).map(sorted), st.integers(1, 30))
def test_rows_are_regrouped_but_not_changed(
    shape: tuple[int, int], cuts: list[int], numbers: int
) -> None:
    index, values = np.arange(shape[0]), np.random.default_rng(0).random(shape)
    batches = zip(np.split(index, cuts), np.split(values, cuts), strict=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(predictions, "CHUNK_VALUES", numbers)
        chunks, merged = list(chunk_rows((index, values))), list(merge_batches(batches))
    most = max(1, numbers // shape[1])
    assert all(len(chunk) <= most for chunk, _ in chunks)
    assert all(len(chunk) >= most for chunk, _ in merged[:-1])
    for found in (chunks, merged):
        np.testing.assert_array_equal(np.concatenate([chunk for chunk, _ in found]), index)
        np.testing.assert_array_equal(np.concatenate([chunk for _, chunk in found]), values)


def test_a_million_rows_are_written_without_laying_them_all_out(tmp_path: Path) -> None:
    samples = 200_000
    logits = np.random.default_rng(0).random((samples, 10), dtype=np.float32)
    whole: Any = Accumulated(idx=np.arange(samples), logits=logits)
    writer = ll.Predictions(tmp_path / "a.csv", whole, "val")
    writer.train_end()  # what is imported is not counted
    tracemalloc.start()
    try:
        writer.train_end()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert (tmp_path / "a.csv").stat().st_size > 20_000_000
    chunk = predictions.CHUNK_VALUES * (4 + 4 * 16)  # the numbers, and their text as a buffer grows
    assert peak < 9 * samples + chunk  # a sorted index, and which repeat


def test_a_pass_that_is_broken_off_is_ended(tmp_path: Path) -> None:
    batch = {"idx": [1, 2], "logits": [[1.0], [2.0]]}
    streamed = Streamed(batch, {"idx": [3], "logits": 1.0}, batch)
    with pytest.raises(
        ll.DataError, match=r"a.csv: 'logits' is a scalar; it must be one per sample"
    ):
        ll.Predictions(tmp_path / "a.csv", streamed, "val", streamed=True).train_end()
    assert not streamed.is_open
    assert list(tmp_path.iterdir()) == []


def test_data_that_cannot_be_read_is_not_mistaken_for_the_file_that_is_written(
    tmp_path: Path,
) -> None:
    class Gone(Streamed):
        def iterate(self, name: str, keys: Any) -> Iterator[dict[str, Any]]:
            yield {"idx": np.arange(2), "logits": np.zeros(2)}
            (tmp_path / "image.png").read_bytes()

    with pytest.raises(ll.DataError, match=r"'val' cannot be read \(.*No such file.*image.png"):
        ll.Predictions(tmp_path / "a.csv", Gone(), "val", streamed=True).train_end()


@pytest.mark.parametrize(
    ("batches", "message"),
    [
        ([{"idx": [1, 2], "logits": [0, 0]}, {"idx": [2], "logits": [0]}], "idx 2 occurs 2 times"),
        ([{"idx": [1, 2], "logits": [0, 0, 0]}], "'idx' has 2 samples, but 'logits' has 3"),
        ([{"idx": [[1], [2]], "logits": [0, 0]}], r"'idx' has the shape \(2, 1\)"),
        (
            [{"idx": [1], "logits": [[0, 0]]}, {"idx": [2], "logits": [[0]]}],
            "'logits' has 2 values per sample in one batch and 1 in another",
        ),
    ],
)
def test_refuses_it_of_a_stream_too(tmp_path: Path, batches: Any, message: str) -> None:
    writer = ll.Predictions(tmp_path / "a.parquet", Streamed(*batches), "val", streamed=True)
    with pytest.raises(ll.DataError, match=message):
        writer.train_end()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"kind": "class"}, r"kind is 'class'; did you mean classes\?"),
        ({"path": "a.txt"}, r"path is a.txt; give one that ends in .csv or .parquet"),
        ({"acc_key": "vall"}, r"acc_key is 'vall'.*did you mean val\?"),
    ],
)
def test_refuses_wrong_settings(given: dict[str, Any], message: str) -> None:
    whole: Any = Accumulated()
    with pytest.raises(ll.ArgumentError, match=message):
        ll.Predictions(**{"path": "a.csv", "acc_plugin": whole, "acc_key": "val", **given})


def test_refuses_names_that_are_the_same(tmp_path: Path) -> None:
    whole: Any = Accumulated(idx=np.arange(2), logits=np.zeros((2, 2)))
    for names in (["a", "a"], ["a", "idx"]):
        with pytest.raises(ll.DataError, match="two columns have the same name"):
            ll.Predictions(tmp_path / "a.csv", whole, "val", columns=names).train_end()


def several(parts: Tiny, folder: Path, acc: ll.LoadersAcc) -> list[ll.Predictions]:
    return [
        ll.CsvLogits(folder / "logits", acc, acc_key="val"),
        ll.Predictions(folder / "probabilities.csv", acc, "val", kind="probabilities"),
        ll.Predictions(folder / "classes.parquet", acc, "val", kind="classes"),
    ]


def test_several_writers_of_a_run_share_one_pass_and_streamed_ones_accumulate_nothing(
    tmp_path: Path,
) -> None:
    parts = tiny()
    acc = parts.loaders_acc()
    parts.host(acc, *several(parts, tmp_path, acc)).run()
    assert acc.evaluated == 9

    def refused() -> ll.Accumulator:
        raise AssertionError("nothing is to be accumulated")

    streaming = parts.loaders_acc(factory=refused)
    writer = ll.Predictions(tmp_path / "x.csv", streaming, "val", key="x", streamed=True)
    writer.train_end()
    assert streaming.evaluated == 9
    assert parts.model.training
    assert list(pd.read_csv(tmp_path / "x.csv")) == ["idx", "x0", "x1", "x2", "x3"]
    ll.Predictions(tmp_path / "again.csv", streaming, "val", streamed=True).train_end()
    assert (tmp_path / "again.csv").read_text() == (tmp_path / "logits").read_text()
