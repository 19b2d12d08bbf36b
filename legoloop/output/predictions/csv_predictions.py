"""Prediction writers: a table with one row per sample."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np

from legoloop.core.arguments import one_of, require_collected, require_evaluated
from legoloop.core.atomic_files import atomic_write
from legoloop.core.class_labels import predicted_classes
from legoloop.core.errors import ArgumentError, DataError
from legoloop.core.protocols import EvaluationResults, StreamingEvaluation
from legoloop.output.tables import Chunk, write_csv, write_parquet

Array = np.ndarray[Any, Any]
Rows = tuple[Array, Array]
"""What identifies some samples, shape (samples,), and their values, shape (samples, columns)."""

CHUNK_VALUES = 2**18
"""About so many values are written at a time."""


class Predictions:
    """At the end of the training, writes predictions to a CSV or Parquet file, a row per sample.

    Float32 reads back exactly from CSV. ``kind`` decides what is written:

    - ``values``: the entry ``key`` as it is; ``logits`` in columns ``logit0``, ``logit1``, …;
    - ``probabilities``: the softmax of logits, or for a single logit per sample the probabilities
      of both classes, in columns ``probability0``, ``probability1``, …;
    - ``classes``: the argmax of logits, or for a single logit 1 if it is positive, in ``class``.

    Args:
        path: a file that ends in ``.csv`` or ``.parquet``.
        acc_plugin: the evaluation.
        acc_key: name of the data set.
        kind: ``values``, ``probabilities`` or ``classes``.
        key: entry of the batches or outputs to write, shape (samples, columns) or (samples,).
        columns: their names; None: as above.
        index: entry of the batches that identifies samples, shape (samples,).
        streamed: make a pass of its own that keeps nothing in memory and needs no accumulator for
            ``key``.
        targets: another CSV file, for what is right: the entry ``target`` if it is collected, and
            is one value per sample or as many as ``key``; None: it is not written.
        target: entry of the batches or outputs with what is right.

    Raises:
        ArgumentError: if the evaluation has no such data set, for another kind or suffix, or for
            ``targets`` of what is streamed.
        DataError: if an entry is missing or is not one per sample, a sample occurs twice, or
            ``columns`` has another length.

    >>> import tempfile
    >>> class Evaluated:
    ...     when, datasets = "train_end", ("val",)
    ...     def collect(self, name):
    ...         return {"idx": np.array([7, 3]), "logits": np.array([[0.0, 2.0], [1.0, 0.0]])}
    >>> path = Path(tempfile.mkdtemp()) / "classes.csv"
    >>> Predictions(path, Evaluated(), "val", kind="classes").train_end()
    >>> path.read_text()
    'idx,class\\n7,1\\n3,0\\n'
    """

    def __init__(
        self,
        path: str | Path,
        acc_plugin: EvaluationResults,
        acc_key: str,
        kind: Literal["values", "probabilities", "classes"] = "values",
        key: str = "logits",
        columns: Sequence[str] | None = None,
        index: str = "idx",
        streamed: bool = False,
        targets: str | Path | None = None,
        target: str = "target",
    ) -> None:
        require_evaluated(acc_plugin.datasets, acc_key)
        one_of(tuple(KINDS), kind=kind)
        if targets is not None and streamed:
            raise ArgumentError(
                "are read from an accumulator", argument="targets", remedy="give null with streamed"
            )
        self.path = Path(path)
        self.acc_plugin = acc_plugin
        self.acc_key = acc_key
        self.kind = kind
        self.key = key
        self.columns = columns
        self.index = index
        self.streamed = streamed
        self.targets = None if targets is None else Path(targets)
        self.target = target
        self._writer()

    def train_end(self) -> None:
        """Write them, if the evaluation is not switched off."""
        if getattr(self.acc_plugin, "enabled", True):
            self.write_files()

    def write_files(self) -> None:
        """Write the files."""
        rows = merge_batches(self._streamed()) if self.streamed else chunk_rows(self._accumulated())
        write = self._writer()
        with atomic_write(self.path) as temporary:
            write(temporary, self._chunks(rows))
        if self.targets is not None:
            self._write_targets(self.targets)

    def _write_targets(self, path: Path) -> None:
        arrays = self.acc_plugin.collect(self.acc_key)
        found = arrays.get(self.target)
        if not isinstance(found, np.ndarray):
            return
        index, values = self._rows(arrays)
        width = int(np.prod(found.shape[1:]))
        if found.shape[:1] == index.shape and width in (1, values.shape[1]):
            names = [self.target] if width == 1 else [f"{self.target}{n}" for n in range(width)]
            columns = zip(names, found.reshape(len(found), width).T, strict=True)
            with atomic_write(path) as temporary:
                write_csv(temporary, [{self.index: index, **dict(columns)}])

    def _writer(self) -> Callable[[Path, Iterable[Chunk]], None]:
        if self.path.suffix not in WRITERS:
            raise ArgumentError(
                f"is {self.path.name}",
                argument="path",
                remedy="give one that ends in .csv or .parquet",
            )
        return WRITERS[self.path.suffix]

    def _accumulated(self) -> Rows:
        return self._rows(self.acc_plugin.collect(self.acc_key))

    def _streamed(self) -> Iterator[Rows]:
        evaluation = cast("StreamingEvaluation", self.acc_plugin)
        keys = (self.index, self.key)
        with closing(evaluation.iterate(self.acc_key, keys)) as batches:  # type: ignore[type-var]
            width = None
            try:
                for batch in batches:
                    index, values = self._rows(batch)
                    width = self._same_width(values, width)
                    yield index, values
            except OSError as error:  # of the data set, not of the file being written
                raise DataError(f"'{self.acc_key}' cannot be read ({error})") from error

    def _same_width(self, values: Array, before: int | None) -> int:
        width = int(values.shape[1])
        if before not in (None, width):
            raise DataError(
                f"{self.path.name}: '{self.key}' has {before} values per sample in one batch and "
                f"{width} in another; it must be the same number"
            )
        return width

    def _rows(self, arrays: Mapping[str, Any]) -> Rows:
        index, values = (self._array(arrays, name) for name in (self.index, self.key))
        if len(index) != len(values):
            raise DataError(
                f"{self.path.name}: '{self.index}' has {len(index)} samples, "
                f"but '{self.key}' has {len(values)}"
            )
        if index.ndim > 1:
            raise DataError(
                f"{self.path.name}: '{self.index}' has the shape {index.shape}; it must be one "
                f"value per sample, {index.shape[:1]}"
            )
        return index, values.reshape(len(values), int(np.prod(values.shape[1:])))

    def _array(self, arrays: Mapping[str, Any], name: str) -> Array:
        array = np.asarray(require_collected(arrays, name, whose=self.path.name))
        if array.ndim == 0:
            raise DataError(f"{self.path.name}: '{name}' is a scalar; it must be one per sample")
        return array

    def _chunks(self, rows: Iterable[Rows]) -> Iterator[Chunk]:
        seen = []
        for index, values in rows:
            written = np.asfortranarray(KINDS[self.kind](values))
            names = self._column_names(written.shape[1])
            seen.append(index)
            yield {self.index: index, **dict(zip(names, written.T, strict=True))}
        self._check_unique(np.concatenate(seen))

    def _check_unique(self, index: Array) -> None:
        index.sort()
        repeats = index[1:] == index[:-1]
        if repeats.any():
            first = index[1:][repeats][0]
            different = len(np.unique(index[1:][repeats]))
            raise DataError(
                f"{self.index} {first} occurs {np.count_nonzero(index == first)} times in "
                f"'{self.acc_key}'; it must be unique ({different} values are repeated)"
            )

    def _column_names(self, width: int) -> list[str]:
        if self.columns is None:
            if self.kind == "classes":
                return ["class"]
            stem = self.key.removesuffix("s") if self.kind == "values" else "probability"
            return [f"{stem}{number}" for number in range(width)]
        if len(self.columns) != width:
            raise DataError(
                f"{self.path.name}: {len(self.columns)} names for {width} columns of '{self.key}'"
            )
        if len({self.index, *self.columns}) != width + 1:
            raise DataError(f"{self.path.name}: two columns have the same name")
        return list(self.columns)


class CsvLogits(Predictions):
    """At the end of the training, writes ``index`` and one column per output to a CSV file.

    Float32 reads back exactly.

    Args:
        path: the CSV file.
        acc_plugin: the evaluation.
        acc_key: name of the data set.
        names: of the columns; None: ``logit0``, ``logit1``, …
        index: name of the accumulated array that identifies samples, shape (samples,).
        key: name of the accumulated array to write, shape (samples, columns) or (samples,), float.
        targets: another CSV file, for what is right, as in ``Predictions``.
        target: name of the accumulated array with that.

    Raises:
        ArgumentError: if the evaluation has no such data set.
        DataError: if an array is missing, a sample occurs twice, or ``names`` has another length.

    >>> import tempfile
    >>> class Evaluated:
    ...     when, datasets = "train_end", ("val",)
    ...     def collect(self, name):
    ...         return {"idx": np.array([7, 3]), "logits": np.array([[0.0, 2.0], [1.0, 0.5]])}
    >>> path = Path(tempfile.mkdtemp()) / "predicts.csv"
    >>> CsvLogits(path, Evaluated(), "val").train_end()
    >>> path.read_text()
    'idx,logit0,logit1\\n7,0.0,2.0\\n3,1.0,0.5\\n'
    """

    def __init__(
        self,
        path: str | Path,
        acc_plugin: EvaluationResults,
        acc_key: str,
        names: Sequence[str] | None = None,
        index: str = "idx",
        key: str = "logits",
        targets: str | Path | None = None,
        target: str = "target",
    ) -> None:
        super().__init__(
            path,
            acc_plugin,
            acc_key,
            key=key,
            columns=names,
            index=index,
            targets=targets,
            target=target,
        )

    def _writer(self) -> Callable[[Path, Iterable[Chunk]], None]:
        return write_csv


def probabilities(logits: Array) -> Array:
    """The softmax, shape (samples, classes); a single column of logits is that of class 1 of two.

    >>> probabilities(np.array([[0.0]])).tolist()
    [[0.5, 0.5]]
    """
    if logits.dtype.kind != "f":
        logits = logits.astype(np.float64)
    if logits.shape[1] == 1:
        logits = np.concatenate([np.zeros_like(logits), logits], axis=1)
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True, initial=-np.inf))
    softmax: Array = exponentials / exponentials.sum(axis=1, keepdims=True)
    return softmax


def classes(logits: Array) -> Array:
    """The most likely class, shape (samples, 1); a single column of logits is that of class 1.

    >>> classes(np.array([[0.1, 0.7, 0.2]])).tolist()
    [[1]]
    """
    return predicted_classes(logits)[:, None]


def chunk_rows(rows: Rows) -> Iterator[Rows]:
    """The same rows in chunks of about ``CHUNK_VALUES`` values; at least one.

    >>> [len(index) for index, _ in chunk_rows((np.arange(3), np.zeros((3, CHUNK_VALUES // 2))))]
    [2, 1]
    """
    index, values = rows
    length = rows_per_chunk(values)
    for first in range(0, max(len(index), 1), length):
        yield index[first : first + length], values[first : first + length]


def merge_batches(batches: Iterable[Rows]) -> Iterator[Rows]:
    """The same rows, batches concatenated to chunks of about ``CHUNK_VALUES`` values.

    >>> [len(index) for index, _ in merge_batches([(np.arange(2), np.zeros((2, 1)))] * 3)]
    [6]
    """
    waiting: list[Rows] = []
    for batch in batches:
        waiting.append(batch)
        if sum(len(index) for index, _ in waiting) >= rows_per_chunk(batch[1]):
            yield concatenate(waiting)
            waiting = []
    if waiting:
        yield concatenate(waiting)


def concatenate(batches: Sequence[Rows]) -> Rows:
    """The rows of all batches."""
    indices, values = zip(*batches, strict=True)
    return np.concatenate(indices), np.concatenate(values)


def rows_per_chunk(values: Array) -> int:
    """The number of rows that have about ``CHUNK_VALUES`` values."""
    return max(1, CHUNK_VALUES // max(1, int(values.shape[1])))


KINDS: dict[str, Callable[[Array], Array]] = {
    "values": lambda values: values,
    "probabilities": probabilities,
    "classes": classes,
}
WRITERS: dict[str, Callable[[Path, Iterable[Chunk]], None]] = {
    ".csv": write_csv,
    ".parquet": write_parquet,
}
