"""Packs curves and tables into short text that a page can hold: numbers as bytes, gzip, base64.

A value is one of 2**16 levels between the least and the greatest of its curve, so that it is off by
at most 1/131070 of that range; where all are positive and differ by orders of magnitude, the levels
are those of the logarithm.
"""

from __future__ import annotations

import gzip
import json
from base64 import b64encode
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from legoloop.results.page.curves import Array, Curve

LEVELS = 2**16 - 1

LOGARITHMIC_FROM = 50.0
"""The greatest value is so many times the least where levels are those of the logarithm."""


class Range(NamedTuple):
    """The least and the greatest value of a curve, and how the levels lie between them."""

    least: float
    greatest: float
    is_logarithmic: bool

    @classmethod
    def of(cls, values: Array) -> Range:
        """The range of the values, shape (points,)."""
        least, greatest = float(values.min()), float(values.max())
        return cls(least, greatest, 0 < least < greatest / LOGARITHMIC_FROM)

    def levels(self, values: Array) -> Array:
        """The level of each value, shape (points,), int64."""
        low, high = self.least, self.greatest
        if high == low:
            return np.zeros(len(values), np.int64)
        if self.is_logarithmic:
            share = (np.log(values) - np.log(low)) / (np.log(high) - np.log(low))
        else:
            share = (values / 2 - low / 2) / (high / 2 - low / 2)  # high - low may be infinite
        return np.asarray(np.rint(share * LEVELS), np.int64)


def packed_curves(curves: Sequence[Curve | None]) -> dict[str, Any]:
    """The curves of one metric, one for each run.

    ``data`` has the steps as differences of 4 bytes and then the levels as differences of 2, each
    as planes (all the low bytes first), which gzip shortens most. ``means`` has the means of the
    pieces of those that are thinned, in the same way.

    >>> packed = packed_curves([Curve(np.array([1.0, 2.0]), np.array([0.5, 2.5])), None])
    >>> packed["points"], packed["least"], packed["greatest"], packed["logarithmic"]
    ([2, 0], [0.5, None], [2.5, None], [0, 0])
    """
    ranges = [None if curve is None else Range.of(curve.values) for curve in curves]
    present = [
        (curve, span)
        for curve, span in zip(curves, ranges, strict=True)
        if curve is not None and span is not None
    ]
    steps = [curve.steps.astype(np.int64) for curve, _ in present]
    levels = [span.levels(curve.values) for curve, span in present]
    means = [curve and curve.means for curve in curves]
    return {
        "points": [len(curve.steps) if curve else 0 for curve in curves],
        "least": [span and span.least for span in ranges],
        "greatest": [span and span.greatest for span in ranges],
        "logarithmic": [int(span is not None and span.is_logarithmic) for span in ranges],
        "data": packed(_planes(steps, "<u4") + _planes(levels, "<u2")),
        "means": packed_curves(means) if any(means) else None,
    }


def _planes(columns: Sequence[Array], kind: str) -> bytes:
    """The differences within each column, as all the low bytes, then all the next ones."""
    differences = [np.diff(column, prepend=0) for column in columns]
    joined = np.concatenate([np.zeros(0, np.int64), *differences]).astype(kind)
    return joined.view(np.uint8).reshape(-1, joined.itemsize).T.tobytes()


def packed(content: bytes) -> str:
    """Bytes as base64 of gzip."""
    return b64encode(gzip.compress(content, compresslevel=6, mtime=0)).decode()


def packed_json(value: Any) -> str:
    """A value as base64 of gzip of JSON."""
    return packed(json.dumps(value, separators=(",", ":")).encode())
