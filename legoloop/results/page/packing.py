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
from typing import Any

import numpy as np

from legoloop.results.page.curves import Array, Curve

LEVELS = 2**16 - 1

LOGARITHMIC_FROM = 50.0
"""The greatest value is so many times the least where levels are those of the logarithm."""


def packed_curves(curves: Sequence[Curve | None]) -> dict[str, Any]:
    """The curves of one metric, one for each run.

    ``data`` has the steps as differences of 4 bytes and then the levels as differences of 2, each
    as planes (all the low bytes first), which gzip shortens most. ``means`` has the means of the
    pieces of those that are thinned, in the same way.

    >>> packed = packed_curves([Curve(np.array([1.0, 2.0]), np.array([0.5, 2.5])), None])
    >>> packed["points"], packed["least"], packed["greatest"], packed["logarithmic"]
    ([2, 0], [0.5, None], [2.5, None], [0, 0])
    """
    points, least, greatest, logarithmic = [], [], [], []
    steps: list[Array] = [np.zeros(0)]
    levels: list[Array] = [np.zeros(0)]
    for curve in curves:
        if curve is None:
            points.append(0)
            least.append(None)
            greatest.append(None)
            logarithmic.append(0)
            continue
        low, high = float(curve.values.min()), float(curve.values.max())
        is_logarithmic = low > 0 and high > low * LOGARITHMIC_FROM
        points.append(len(curve.steps))
        least.append(low)
        greatest.append(high)
        logarithmic.append(int(is_logarithmic))
        steps.append(np.diff(curve.steps.astype(np.int64), prepend=0))
        levels.append(np.diff(_levels(curve.values, low, high, is_logarithmic), prepend=0))
    planes = [
        *np.concatenate(steps).astype("<u4").view(np.uint8).reshape(-1, 4).T,
        *np.concatenate(levels).astype(np.int64).astype("<u2").view(np.uint8).reshape(-1, 2).T,
    ]
    means = [curve and curve.means for curve in curves]
    return {
        "means": packed_curves(means) if any(means) else None,
        "points": points,
        "least": least,
        "greatest": greatest,
        "logarithmic": logarithmic,
        "data": packed(b"".join(plane.tobytes() for plane in planes)),
    }


def packed(content: bytes) -> str:
    """Bytes as base64 of gzip."""
    return b64encode(gzip.compress(content, compresslevel=6, mtime=0)).decode()


def packed_json(value: Any) -> str:
    """A value as base64 of gzip of JSON."""
    return packed(json.dumps(value, separators=(",", ":")).encode())


def _levels(values: Array, low: float, high: float, is_logarithmic: bool) -> Array:
    if high == low:
        return np.zeros(len(values), np.int64)
    if is_logarithmic:
        share = (np.log(values) - np.log(low)) / (np.log(high) - np.log(low))
    else:
        share = (values / 2 - low / 2) / (high / 2 - low / 2)  # the range itself may be infinite
    return np.rint(share * LEVELS).astype(np.int64)
