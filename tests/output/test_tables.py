from __future__ import annotations

import csv
import resource
import signal
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from legoloop.core.atomic_files import atomic_write
from legoloop.core.errors import DataError
from legoloop.output.tables import Chunk, write_csv, write_parquet

Write = Callable[[Path, Iterable[Chunk]], None]
NUMBERS = [np.float16, np.float32, np.float64, np.int8, np.int64, np.uint64, np.bool_]

numbers = st.sampled_from(NUMBERS).flatmap(
    lambda kind: (
        hnp.arrays(kind, st.integers(1, 6), elements={"allow_nan": True})
        if np.dtype(kind).kind == "f"
        else hnp.arrays(kind, st.integers(1, 6))
    )
)
words = st.lists(st.text("ab,\"'é0 \n\r", min_size=1), min_size=1, max_size=6)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tables")


def back(path: Path, write: Write, *columns: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """What another library finds in the column, which was written piece by piece."""
    write(path, [{"a": column} for column in columns])
    if write is write_csv:
        return pd.read_csv(path, skip_blank_lines=False)["a"].to_numpy()
    return pl.read_parquet(path)["a"].to_numpy()


@pytest.mark.parametrize("write", [write_csv, write_parquet])
@given(column=numbers)
def test_numbers_read_back_exactly(
    folder: Path, write: Write, column: np.ndarray[Any, Any]
) -> None:
    found = back(folder / "table", write, column, column)

    np.testing.assert_array_equal(found.astype(column.dtype), np.concatenate([column, column]))


@pytest.mark.parametrize("write", [write_csv, write_parquet])
@given(strings=words)
def test_strings_stay_as_they_are(folder: Path, write: Write, strings: list[str]) -> None:
    write(folder / "words", [{"a": np.array(strings, dtype=object), "b": np.zeros(len(strings))}])

    if write is write_csv:
        with (folder / "words").open(newline="") as file:
            found = [row["a"] for row in csv.DictReader(file)]
    else:
        found = pl.read_parquet(folder / "words")["a"].to_list()
    assert found == strings


def test_csv_has_what_pandas_would_write(tmp_path: Path) -> None:
    columns = {
        "word": np.array(["a", None, 'b"'], dtype=object),
        "float": np.array([0.1, np.nan, -np.inf], dtype=np.float32),
        "int": np.array([1, -2, 3], dtype=np.int8),
    }
    write_csv(tmp_path / "ours", [columns])
    assert (tmp_path / "ours").read_text() == pd.DataFrame(columns).to_csv(index=False)


def test_parquet_keeps_types_and_nan(tmp_path: Path) -> None:
    write_parquet(tmp_path / "table", [{"a": np.array([np.nan], dtype=np.float32)}] * 2)
    table = pl.read_parquet(tmp_path / "table")
    assert table.schema == {"a": pl.Float32}
    assert table["a"].is_nan().all()


@pytest.mark.parametrize("write", [write_csv, write_parquet])
def test_columns_need_not_lie_in_a_row(tmp_path: Path, write: Write) -> None:
    square = np.arange(4.0).reshape(2, 2)
    assert back(tmp_path / "table", write, square[:, 1]).tolist() == [1.0, 3.0]


@pytest.mark.parametrize("write", [write_csv, write_parquet])
def test_a_disk_that_takes_no_more_is_told_and_leaves_nothing(tmp_path: Path, write: Write) -> None:
    pieces = [{"a": np.random.default_rng(seed).random(10_000)} for seed in range(2)]
    before, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.getsignal(signal.SIGXFSZ)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))  # a part fits, all do not
    try:
        with (
            pytest.raises(DataError, match=r"table cannot be written \(.*File too large"),
            atomic_write(tmp_path / "table") as draft,
        ):
            write(draft, pieces)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert list(tmp_path.iterdir()) == []
