"""Tables that are written piece by piece, so that a long one is never laid out whole."""

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

Piece = dict[str, "np.ndarray[Any, Any]"]
"""Some rows: columns of one length by name, the same names in each piece."""


def write_csv(path: Path, pieces: Iterable[Piece]) -> None:
    """Write a CSV file with a header.

    Floats have the fewest digits that read back exactly, nan is an empty field, infinity inf.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "table.csv"
    >>> write_csv(path, [{"a": np.array([1.5, np.nan])}, {"a": np.array([np.inf])}])
    >>> path.read_text()
    'a\\n1.5\\n\\ninf\\n'
    """
    from polars import selectors

    with path.open("wb") as file:
        for number, piece in enumerate(pieces):
            text = BytesIO()
            frame = _frame(piece).with_columns(selectors.float().fill_nan(None))
            frame.write_csv(text, include_header=number == 0)
            file.write(text.getbuffer())


def write_parquet(path: Path, pieces: Iterable[Piece]) -> None:
    """Write a Parquet file; nan stays nan.

    >>> import polars, tempfile
    >>> path = Path(tempfile.mkdtemp()) / "table.parquet"
    >>> write_parquet(path, [{"a": np.array([1])}, {"a": np.array([2])}])
    >>> polars.read_parquet(path)["a"].to_list()
    [1, 2]
    """
    import polars as pl

    # A file for each piece first: what writes one file piece by piece wants another package.
    with TemporaryDirectory(prefix=path.name, suffix=f".{TEMP}", dir=path.parent) as folder:
        parts = []
        for number, piece in enumerate(pieces):
            part = BytesIO()
            _frame(piece).write_parquet(part)
            parts.append(Path(folder) / f"{number}.parquet")
            parts[-1].write_bytes(part.getbuffer())
        try:
            pl.scan_parquet(parts, glob=False).sink_parquet(path)
        except pl.exceptions.ComputeError as error:  # how polars tells that a disk is full
            raise OSError(EIO, str(error)) from error


def _frame(piece: Piece) -> pl.DataFrame:
    import polars as pl

    return pl.DataFrame([_series(name, column) for name, column in piece.items()])


def _series(name: str, column: np.ndarray[Any, Any]) -> pl.Series:
    import polars as pl

    if column.dtype.kind in "OSU":
        words = [None if value is None else str(value) for value in column]
        return pl.Series(name, words, dtype=pl.String)
    if column.dtype == np.float16:
        column = column.astype(np.float32)
    return pl.Series(name, np.ascontiguousarray(column))
