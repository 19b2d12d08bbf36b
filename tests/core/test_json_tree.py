from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from legoloop.core.json_tree import ITEMS, decoded, encoded

SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(max_size=5)
)
KEYS = st.one_of(
    st.text(max_size=5),
    st.just(ITEMS),
    st.integers(),
    st.booleans(),
    st.floats(allow_nan=False),
)
TREES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=12,
)


def same(one: Any, other: Any) -> bool:
    """Equal, types and the order of keys included: ``1``, ``1.0`` and ``True`` are equal alone."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return len(one) == len(other) and all(
            same(key, its) and same(one[key], other[its])
            for key, its in zip(one, other, strict=True)
        )
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


@given(TREES)
def test_json_holds_every_tree(tree: Any) -> None:
    assert same(decoded(json.loads(json.dumps(encoded(tree)))), tree)


def test_texts_as_keys_are_written_as_they_are() -> None:
    tree = {"a": {"b": [1, {"c": None}]}}
    assert encoded(tree) == tree


def test_keys_that_are_no_texts_keep_their_type() -> None:
    tree = {"weights": {0: 1.0, True: 2.0, 1.5: 3.0}, "mixed": {1: "a", "1": "b"}}
    assert same(decoded(json.loads(json.dumps(encoded(tree)))), tree)


def test_the_marker_may_be_a_key() -> None:
    tree = {ITEMS: [["a", 1]]}
    assert encoded(tree) != tree
    assert decoded(encoded(tree)) == tree


def test_tuples_become_lists() -> None:
    assert encoded({"a": (1, (2,))}) == {"a": [1, [2]]}
