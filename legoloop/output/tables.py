"""Writes CSV and Parquet files in chunks, so that a long table needs little memory."""

from __future__ import annotations

from collections.abc import Iterable
from errno import EIO
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np

from legoloop.core.atomic_files import TEMP

if TYPE_CHECKING:
    import polars as pl

Chunk = dict[str, "np.ndarray[Any, Any]"]
"""Some rows: columns of one length by name, the same names in each chunk."""


def write_csv(path: Path, chunks: Iterable[Chunk]) -> None:
    """Write a CSV file with a header.

    Floats have the fewest digits that read back exactly; nan is an empty field, infinity ``inf``.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "table.csv"
    >>> write_csv(path, [{"a": np.array([1.5, np.nan])}, {"a": np.array([np.inf])}])
    >>> path.read_text()
    'a\\n1.5\\n\\ninf\\n'
    """
    from polars import selectors

    with path.open("wb") as file:
        for number, chunk in enumerate(chunks):
            text = BytesIO()
            frame = _frame(chunk).with_columns(selectors.float().fill_nan(None))
            frame.write_csv(text, include_header=number == 0)
            file.write(text.getbuffer())


def write_parquet(path: Path, chunks: Iterable[Chunk]) -> None:
    """Write a Parquet file; nan stays nan.

    >>> import polars, tempfile
    >>> path = Path(tempfile.mkdtemp()) / "table.parquet"
    >>> write_parquet(path, [{"a": np.array([1])}, {"a": np.array([2])}])
    >>> polars.read_parquet(path)["a"].to_list()
    [1, 2]
    """
    import polars as pl

    # One file for each chunk first: to append to a Parquet file would take another package.
    with TemporaryDirectory(prefix=path.name, suffix=f".{TEMP}", dir=path.parent) as folder:
        files = []
        for number, chunk in enumerate(chunks):
            content = BytesIO()
            _frame(chunk).write_parquet(content)
            files.append(Path(folder) / f"{number}.parquet")
            files[-1].write_bytes(content.getbuffer())
        try:
            pl.scan_parquet(files, glob=False).sink_parquet(path)
        except pl.exceptions.ComputeError as error:  # which polars raises for a full disk
            raise OSError(EIO, str(error)) from error


def _frame(chunk: Chunk) -> pl.DataFrame:
    import polars as pl

    return pl.DataFrame([_series(name, column) for name, column in chunk.items()])


def _series(name: str, column: np.ndarray[Any, Any]) -> pl.Series:
    import polars as pl

    if column.dtype.kind in "OSU":
        texts = [None if value is None else str(value) for value in column]
        return pl.Series(name, texts, dtype=pl.String)
    if column.dtype == np.float16:
        column = column.astype(np.float32)
    return pl.Series(name, np.ascontiguousarray(column))
