"""The predictions of a run, one row per sample."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np

from legoloop.core.arguments import one_of, require_collected, require_evaluated
from legoloop.core.atomic_files import atomic_write
from legoloop.core.errors import ArgumentError, DataError
from legoloop.core.protocols import EvaluationResults, StreamingEvaluation
from legoloop.output.predictions.classes import predicted_classes
from legoloop.output.tables import Piece, write_csv, write_parquet

Array = np.ndarray[Any, Any]
Rows = tuple[Array, Array]
"""What identifies some samples, (samples,), and their values, (samples, columns)."""

NUMBERS = 2**18
"""About so many values are laid out at a time."""


class Predictions:
    """At the end of the training, writes a row a sample to a ``.csv`` or ``.parquet`` file.

    ``acc_plugin`` evaluates the data set named ``acc_key``. ``key`` names the entry of its batches
    or of the model's outputs to write, (samples, columns) or (samples,), and ``index`` the one that
    identifies samples. ``kind`` is what to make of it:

    ``values``: nothing, it is written as it is, of ``logits`` in columns ``logit0``, ``logit1``, …;
    ``probabilities``: of logits the softmax, or of a single logit a sample the probabilities of
    both classes, in columns ``probability0``, ``probability1``, …;
    ``classes``: of logits the largest one's number, or of a single one 1 if it is positive, in a
    column ``class``.

    ``names`` are the columns, if not these. Float32 reads back exactly. Writing takes little memory
    on top of what the evaluation accumulated. ``streamed`` keeps no predictions at all: it makes a
    pass of its own, for which nothing needs to be accumulated.

    Raises ArgumentError if the evaluation has no such data set, and for another kind or suffix;
    DataError if an entry is missing or is not one per sample, a sample occurs twice, or the names
    do not match the columns.

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
        names: Sequence[str] | None = None,
        index: str = "idx",
        streamed: bool = False,
    ) -> None:
        require_evaluated(acc_plugin.datasets, acc_key)
        one_of(tuple(KINDS), kind=kind)
        self.path = Path(path)
        self.acc_plugin = acc_plugin
        self.acc_key = acc_key
        self.kind = kind
        self.key = key
        self.names = names
        self.index = index
        self.streamed = streamed
        self._writer()

    def train_end(self) -> None:
        """Evaluate, unless somebody did or it is streamed, and write."""
        rows = gathered(self._streamed()) if self.streamed else split(self._accumulated())
        write = self._writer()
        with atomic_write(self.path) as draft:
            write(draft, self._pieces(rows))

    def _writer(self) -> Callable[[Path, Iterable[Piece]], None]:
        if self.path.suffix not in WRITERS:
            raise ArgumentError(f"path is {self.path.name}; give one that ends in .csv or .parquet")
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
            except OSError as error:  # not of the file that is written meanwhile
                raise DataError(f"'{self.acc_key}' cannot be read ({error})") from error

    def _same_width(self, values: Array, before: int | None) -> int:
        width = int(values.shape[1])
        if before not in (None, width):
            raise DataError(
                f"{self.path.name}: '{self.key}' has {before} values a sample in one batch and "
                f"{width} in another; give the same number for each"
            )
        return width

    def _rows(self, arrays: Mapping[str, Any]) -> Rows:
        index, values = (self._array(arrays, name) for name in (self.index, self.key))
        if len(index) != len(values):
            raise DataError(
                f"{self.path.name}: there are {len(index)} of '{self.index}' "
                f"and {len(values)} of '{self.key}'"
            )
        if index.ndim > 1:
            raise DataError(
                f"{self.path.name}: '{self.index}' has the shape {index.shape}; what identifies "
                f"samples is one value each, {index.shape[:1]}"
            )
        return index, values.reshape(len(values), int(np.prod(values.shape[1:])))

    def _array(self, arrays: Mapping[str, Any], name: str) -> Array:
        array = np.asarray(require_collected(arrays, name, whose=self.path.name))
        if array.ndim == 0:
            raise DataError(f"{self.path.name}: '{name}' is one value for the whole batch")
        return array

    def _pieces(self, rows: Iterable[Rows]) -> Iterator[Piece]:
        seen = []
        for index, values in rows:
            columns = np.asfortranarray(KINDS[self.kind](values))
            names = self._columns(columns.shape[1])
            seen.append(index)
            yield {self.index: index, **dict(zip(names, columns.T, strict=True))}
        self._refuse_repeated(np.concatenate(seen))

    def _refuse_repeated(self, index: Array) -> None:
        index.sort()
        repeats = index[1:] == index[:-1]
        if repeats.any():
            first = index[1:][repeats][0]
            different = len(np.unique(index[1:][repeats]))
            raise DataError(
                f"{self.index} {first} occurs {np.count_nonzero(index == first)} times in "
                f"'{self.acc_key}'; it must tell the samples apart (repeated: {different})"
            )

    def _columns(self, width: int) -> list[str]:
        if self.names is None:
            stem = {"values": self.key.removesuffix("s"), "probabilities": "probability"}
            if self.kind == "classes":
                return ["class"]
            return [f"{stem[self.kind]}{number}" for number in range(width)]
        if len(self.names) != width:
            raise DataError(
                f"{self.path.name}: {len(self.names)} names for {width} columns of '{self.key}'"
            )
        if len({self.index, *self.names}) != width + 1:
            raise DataError(f"{self.path.name}: two columns have the same name")
        return list(self.names)


class CsvLogits(Predictions):
    """At the end of the training, writes ``index`` and one column per output to a CSV file.

    ``acc_plugin`` evaluates the data set named ``acc_key``; ``key`` is the accumulated array to
    write, (samples, columns) or (samples,) float, and ``index`` the one that identifies samples.
    ``names`` are the columns, ``logit0``, ``logit1``, … when None. Float32 reads back exactly.

    Raises ArgumentError if the evaluation has no such data set, DataError if an array is missing,
    a sample occurs twice, or the names do not match the columns.
    """

    def __init__(
        self,
        path: str | Path,
        acc_plugin: EvaluationResults,
        acc_key: str,
        names: Sequence[str] | None = None,
        index: str = "idx",
        key: str = "logits",
    ) -> None:
        super().__init__(path, acc_plugin, acc_key, key=key, names=names, index=index)

    def _writer(self) -> Callable[[Path, Iterable[Piece]], None]:
        return write_csv


def probabilities(logits: Array) -> Array:
    """Of each class, (samples, classes); a single column of logits is that of class 1 of two.

    >>> probabilities(np.array([[0.0]])).tolist()
    [[0.5, 0.5]]
    """
    if logits.dtype.kind != "f":
        logits = logits.astype(np.float64)
    if logits.shape[1] == 1:
        logits = np.concatenate([np.zeros_like(logits), logits], axis=1)
    raised = np.exp(logits - logits.max(axis=1, keepdims=True, initial=-np.inf))
    shares: Array = raised / raised.sum(axis=1, keepdims=True)
    return shares


def classes(logits: Array) -> Array:
    """The number of the most likely class, (samples, 1); a single column of logits as above.

    >>> classes(np.array([[0.1, 0.7, 0.2]])).tolist()
    [[1]]
    """
    return predicted_classes(logits)[:, None]


def split(rows: Rows) -> Iterator[Rows]:
    """The same rows, about ``NUMBERS`` of their values at a time; at least once.

    >>> [len(index) for index, _ in split((np.arange(3), np.zeros((3, NUMBERS // 2))))]
    [2, 1]
    """
    index, values = rows
    length = rows_a_piece(values)
    for first in range(0, max(len(index), 1), length):
        yield index[first : first + length], values[first : first + length]


def gathered(batches: Iterable[Rows]) -> Iterator[Rows]:
    """The same rows, those of batches joined to have about ``NUMBERS`` values at a time.

    >>> [len(index) for index, _ in gathered([(np.arange(2), np.zeros((2, 1)))] * 3)]
    [6]
    """
    waiting: list[Rows] = []
    for batch in batches:
        waiting.append(batch)
        if sum(len(index) for index, _ in waiting) >= rows_a_piece(batch[1]):
            yield joined(waiting)
            waiting = []
    if waiting:
        yield joined(waiting)


def joined(batches: Sequence[Rows]) -> Rows:
    """The rows of all of them."""
    indices, values = zip(*batches, strict=True)
    return np.concatenate(indices), np.concatenate(values)


def rows_a_piece(values: Array) -> int:
    """How many rows have about ``NUMBERS`` values."""
    return max(1, NUMBERS // max(1, int(values.shape[1])))


KINDS: dict[str, Callable[[Array], Array]] = {
    "values": lambda values: values,
    "probabilities": probabilities,
    "classes": classes,
}
WRITERS: dict[str, Callable[[Path, Iterable[Piece]], None]] = {
    ".csv": write_csv,
    ".parquet": write_parquet,
}
