from __future__ import annotations

import gzip
import json
from base64 import b64decode
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from legoloop.results.page.curves import Curve, thinned
from legoloop.results.page.packing import LEVELS, packed_curves, packed_json

FINITE = st.floats(allow_nan=False, allow_infinity=False)


def unpacked(packed: dict[str, Any]) -> list[tuple[np.ndarray[Any, Any], ...]]:
    """Steps and shares of the range of each curve, as the page unpacks them."""
    content = gzip.decompress(b64decode(packed["data"]))
    count = sum(packed["points"])
    planes = np.frombuffer(content, np.uint8).reshape(6, count).astype(np.int64)
    steps = sum(planes[n] << 8 * n for n in range(4))
    levels = planes[4] + (planes[5] << 8)
    ends = np.cumsum(packed["points"])[:-1]
    return [
        (np.cumsum(step), np.cumsum(level) % (LEVELS + 1) / LEVELS)
        for step, level in zip(np.split(steps, ends), np.split(levels, ends), strict=True)
    ]


def test_several_curves_of_one_metric_and_runs_without_it() -> None:
    curves = [
        Curve(np.array([3.0, 300.0, 70_000.0, 2.0**32 - 1]), np.array([1.0, 0.0, 0.5, 0.25])),
        None,
        Curve(np.array([0.0, 5.0]), np.array([7.0, 7.0])),
    ]
    packed = packed_curves(curves)
    assert packed["points"] == [4, 0, 2]
    (steps, shares), empty, (_, flat) = unpacked(packed)
    assert steps.tolist() == [3, 300, 70_000, 2**32 - 1]
    assert shares == pytest.approx([1, 0, 0.5, 0.25], abs=1 / LEVELS)
    assert [len(each) for each in empty] == [0, 0]
    assert flat.tolist() == [0, 0]


@given(st.lists(FINITE, min_size=1, max_size=50))
def test_a_value_is_off_by_at_most_half_a_level(values: list[float]) -> None:
    packed = packed_curves([Curve(np.arange(len(values), dtype=float), np.array(values))])
    ((_, shares),) = unpacked(packed)
    (low,), (high,) = packed["least"], packed["greatest"]
    assert (low, high) == (min(values), max(values))
    if packed["logarithmic"] == [1]:
        found = np.log(low) * (1 - shares) + np.log(high) * shares
        assert found == pytest.approx(np.log(values), abs=np.log(high / low) / LEVELS + 1e-9)
    else:
        found = low * (1 - shares) + high * shares
        assert (abs(found / 2 - np.array(values) / 2) <= (high / 2 - low / 2) / LEVELS * 1.01).all()


def test_a_loss_that_falls_by_orders_of_magnitude_keeps_its_small_values() -> None:
    values = np.array([10.0, 1e-3, 1e-6, 2e-6])
    packed = packed_curves([Curve(np.arange(4.0), values)])
    ((_, shares),) = unpacked(packed)
    found = np.exp(np.log(1e-6) * (1 - shares) + np.log(10) * shares)
    assert packed["logarithmic"] == [1]
    assert found == pytest.approx(values, rel=1e-3)


def test_the_means_of_thinned_curves_come_along() -> None:
    curve = thinned(Curve(np.arange(100.0), np.arange(100.0) % 2), 10)
    packed = packed_curves([curve, None])
    ((steps, _), _) = unpacked(packed["means"])
    assert len(steps) == packed["means"]["points"][0] == 5
    assert packed_curves([Curve(np.arange(2.0), np.ones(2))])["means"] is None


def test_the_same_content_gives_the_same_text() -> None:
    assert packed_json({"a": 1}) == packed_json({"a": 1})
    assert json.loads(gzip.decompress(b64decode(packed_json({"a": [1]})))) == {"a": [1]}
