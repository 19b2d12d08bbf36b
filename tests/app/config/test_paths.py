from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from legoloop.app.config.paths import (
    changes,
    find_path,
    get_path,
    is_under,
    overlaps,
)
from legoloop.core.flatten import flatten_config
from tests.app.composed import with_value

KEYS = st.sampled_from(["a", "b", "c", "lr"])
VALUES = st.one_of(st.none(), st.integers(), st.text(), st.lists(st.integers(), max_size=2))
TREES = st.dictionaries(
    KEYS, st.recursive(VALUES, lambda inner: st.dictionaries(KEYS, inner, max_size=3), max_leaves=8)
)
PATHS = st.lists(KEYS, min_size=1, max_size=4).map(".".join)


def test_a_path_that_leads_nowhere() -> None:
    for path in ("b", "a.c", "a.b.c"):
        assert find_path({"a": {"b": 1}}, path) is None
        assert find_path({"a": {"b": 1}}, path, "else") == "else"
    with pytest.raises(KeyError):
        get_path({"a": {"b": 1}}, "a.c")


def test_a_value_that_is_null_is_there() -> None:
    assert find_path({"a": None}, "a", "else") is None


def test_a_key_is_under_another_by_whole_names() -> None:
    assert is_under("model.hidden", "model")
    assert is_under("model", "model")
    assert not is_under("model", "model.hidden")
    assert not is_under("models.hidden", "model")
    assert overlaps("model", "model.hidden")
    assert not overlaps("model.hidden", "model.hid")


@given(TREES)
def test_leaves_are_found_by_their_paths(tree: dict[str, Any]) -> None:
    for path, value in flatten_config(tree):
        assert get_path(tree, path) == value
        assert value == {} or not isinstance(value, dict)


@given(TREES, PATHS, VALUES)
def test_with_value_sets_one_value_and_changes_nothing(
    tree: dict[str, Any], path: str, value: Any
) -> None:
    before = deepcopy(tree)
    after = with_value(tree, path, value)
    assert tree == before
    assert get_path(after, path) == value
    for key, beside in flatten_config(before):
        assert overlaps(key, path) or get_path(after, key) == beside


@given(TREES, TREES)
def test_the_changes_are_what_must_be_set(before: dict[str, Any], now: dict[str, Any]) -> None:
    tree = before
    for path, value in changes(before, now):
        assert find_path(before, path, ...) != value
        tree = with_value(tree, path, value)
    for path, value in flatten_config(now):
        assert value == {} or get_path(tree, path) == value
    assert list(changes(now, now)) == []
