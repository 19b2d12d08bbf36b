"""The curves of a run: read from its metrics.csv, and thinned out to what a screen can show."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from legoloop.core.errors import DataError
from legoloop.core.record_files import first_line, read_bytes

Array = np.ndarray[Any, Any]

MAX_BYTES = 2**31
"""A longer metrics.csv is not read."""

MAX_KNOTS = 64
"""So many pairs of step and epoch say which epoch a step belongs to."""


@dataclass(frozen=True)
class Curve:
    """The values of a metric by step.

    Args:
        steps: shape (points,).
        values: shape (points,); what was not finite is left out.
        means: of a thinned curve the mean of each piece, since its least and greatest values say
            nothing of an average; None: the values are all there.
    """

    steps: Array
    values: Array
    means: Curve | None = None


@dataclass(frozen=True)
class Curves:
    """The curves of a run.

    Args:
        by_tag: those of its metrics.
        epochs: pairs of a step and the number of epochs that were done there, to be interpolated.
        rows: how often the run reported.
    """

    by_tag: Mapping[str, Curve]
    epochs: list[tuple[float, float]]
    rows: int

    def thinned(self, points: int) -> Curves:
        """With at most about so many points a curve."""
        by_tag = {tag: thinned(curve, points) for tag, curve in self.by_tag.items()}
        return Curves(by_tag, self.epochs, self.rows)


NO_CURVES = Curves({}, [], 0)


def read_curves(path: Path) -> Curves:
    """The curves in a ``metrics.csv``; none if it is not there.

    Raises DataError if it cannot be read.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "metrics.csv"
    >>> _ = path.write_text("step,epoch,loss,final/loss\\n5,1,0.5,\\n10,2,0.25,0.125\\n")
    >>> curves = read_curves(path)
    >>> curves.by_tag["loss"].values.tolist(), curves.epochs, curves.rows
    ([0.5, 0.25], [(10.0, 2.0)], 2)
    """
    try:
        columns = _columns(path)
    except FileNotFoundError:
        return NO_CURVES
    steps, epochs = columns.pop("step"), columns.pop("epoch", None)
    by_tag = {}
    for tag, values in columns.items():
        is_known = np.isfinite(values)
        if is_known.any():
            by_tag[tag] = Curve(steps[is_known], values[is_known])
    return Curves(by_tag, [] if epochs is None else _knots(steps, epochs), len(steps))


def _columns(path: Path) -> dict[str, Array]:
    """The columns of numbers by name, nan where a cell is empty; the steps ascend from 0 on."""
    import polars as pl

    try:
        content = read_bytes(path, MAX_BYTES)
        if not content:
            raise DataError(f"{path.name} is empty")
        names = next(csv.reader([content.partition(b"\n")[0].decode()]), [])
        if "step" not in names or len(set(names)) < len(names):
            raise DataError(f"{path.name} has no column 'step', or two of one name")
        table = pl.read_csv(content, schema=dict.fromkeys(names, pl.Float64)).to_numpy()
    except FileNotFoundError:
        raise
    except (OSError, ValueError, csv.Error, pl.exceptions.PolarsError) as error:
        raise DataError(f"{path.name} cannot be read ({first_line(error)})") from None
    steps = table[:, names.index("step")]
    is_step = (steps >= 0) & (steps < 2**32)
    if not is_step.all() or (np.diff(steps) < 0).any():
        table = table[np.flatnonzero(is_step)[np.argsort(steps[is_step], kind="stable")]]
    return dict(zip(names, table.T, strict=True))


def _knots(steps: Array, epochs: Array) -> list[tuple[float, float]]:
    """The step at the end of each epoch; one pair if all epochs have as many steps."""
    is_known = np.isfinite(epochs)
    steps, epochs = steps[is_known], epochs[is_known]
    if not len(steps) or epochs[-1] <= 0:
        return []
    last = np.flatnonzero(np.append(np.diff(epochs) != 0, True))
    steps, epochs = steps[last], epochs[last]
    if np.allclose(steps * epochs[-1], epochs * steps[-1]):
        steps, epochs = steps[-1:], epochs[-1:]
    chosen = np.unique(np.linspace(0, len(steps) - 1, MAX_KNOTS).astype(int))
    return list(zip(steps[chosen].tolist(), epochs[chosen].tolist(), strict=True))


def thinned(curve: Curve, points: int) -> Curve:
    """At most about so many points: the least and the greatest of each piece, first and last.

    >>> curve = Curve(np.arange(1000.0), np.zeros(1000))
    >>> curve.values[500] = 9
    >>> few = thinned(curve, 10)
    >>> len(few.steps) <= 12, few.values.max(), few.steps[few.values.argmax()]
    (True, np.float64(9.0), np.float64(500.0))
    """
    count = len(curve.steps)
    if count <= points:
        return curve
    pieces = max(1, points // 2)
    width = -(-count // pieces)
    pieces = -(-count // width)
    padded = np.append(curve.values, np.full(pieces * width - count, curve.values[-1]))
    table = padded.reshape(pieces, width)
    offsets = np.arange(pieces) * width
    extremes = [offsets + table.argmin(axis=1), offsets + table.argmax(axis=1)]
    chosen = np.unique(np.minimum(np.concatenate([*extremes, [0, count - 1]]), count - 1))
    starts = np.arange(0, count, width)
    means = Curve(_means(curve.steps, starts), _means(curve.values, starts))
    return Curve(curve.steps[chosen], curve.values[chosen], means)


def _means(column: Array, starts: Array) -> Array:
    """The mean of each piece, shape (pieces,)."""
    lengths = np.diff(np.append(starts, len(column)))
    return np.asarray(np.add.reduceat(column / np.repeat(lengths, lengths), starts))
