from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest
from legoloop.app.config.trees import CurrentTree, plain
from omegaconf import OmegaConf
from omegaconf.errors import InterpolationKeyError, MissingMandatoryValue


def current(composed: dict[str, Any]) -> tuple[CurrentTree, dict[str, Any]]:
    """A tree, and the values that may be changed behind its back."""
    raw = OmegaConf.create(composed)
    values = plain(raw)
    return CurrentTree(raw, read=lambda: deepcopy(values)), values


def test_plain_resolves_every_interpolation() -> None:
    raw = OmegaConf.create({"a": 1, "b": ["${a}", {"c": "x${a}"}]})
    assert plain(raw) == {"a": 1, "b": [1, {"c": "x1"}]}


def test_plain_refuses_what_is_missing_or_leads_nowhere() -> None:
    with pytest.raises(MissingMandatoryValue):
        plain(OmegaConf.create({"a": "???"}))
    with pytest.raises(InterpolationKeyError):
        plain(OmegaConf.create({"a": "${b}"}))


def test_a_late_change_travels_through_interpolations_of_interpolations() -> None:
    tree, values = current({"a": 1, "b": {"c": "${a}"}, "d": ["${b.c}"]})
    values["a"] = 2
    assert tree() == {"a": 2, "b": {"c": 2}, "d": [2]}


def test_a_late_change_of_what_refers_cuts_it_off() -> None:
    tree, values = current({"a": 1, "b": "${a}"})
    values["b"] = 5
    assert tree() == {"a": 1, "b": 5}
    values["a"] = 2
    assert tree() == {"a": 2, "b": 5}


def test_a_change_taken_back_leaves_the_tree_as_it_was_composed() -> None:
    tree, values = current({"a": 1, "b": "${a}"})
    values["a"] = 2
    assert tree()["b"] == 2
    values["a"] = 1
    assert tree() == {"a": 1, "b": 1}


def test_a_key_that_was_not_there_may_be_set() -> None:
    tree, values = current({"a": {"b": 1}})
    values["a"]["c"] = {"d": 2}
    assert tree() == {"a": {"b": 1, "c": {"d": 2}}}


def test_lists_are_set_whole() -> None:
    tree, values = current({"a": [1, 2], "b": "${a}"})
    values["a"] = [3]
    assert tree() == {"a": [3], "b": [3]}


def test_at_gives_the_part_at_a_path() -> None:
    tree, values = current({"a": {"b": {"c": 1}}})
    values["a"]["b"]["c"] = 2
    assert tree.at("a.b") == {"c": 2}
