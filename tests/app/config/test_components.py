from __future__ import annotations

import pytest

from legoloop.app.config.components import (
    APP_PROVIDERS,
    DATA_PROVIDERS,
    component_paths,
    dataset_nodes,
    is_hooked,
    model_kwargs,
    scope_names,
)

NODE = {"_target_": "mine.Part"}
TREE = {
    "model": NODE,
    "scheduler": None,
    "loss": NODE,
    "components": {"second": NODE, "first": NODE, "none": None},
    "plugins": {"b": NODE, "a": NODE},
    "loggers": {"csv": NODE},
    "data": {"datasets": {"train": NODE}, "model_kwargs": ["task"]},
}


def test_groups_come_first_then_the_members_of_collections_by_name() -> None:
    assert list(component_paths(TREE)) == [
        ("model", "model"),
        ("loss", "loss"),
        ("first", "components.first"),
        ("second", "components.second"),
        ("a", "plugins.a"),
        ("b", "plugins.b"),
        ("csv", "loggers.csv"),
    ]


def test_a_name_that_two_have_is_found_twice() -> None:
    tree = {"plugins": {"a": NODE}, "loggers": {"a": NODE}}
    assert list(component_paths(tree)) == [("a", "plugins.a"), ("a", "loggers.a")]


@pytest.mark.parametrize("tree", [{}, {"plugins": None, "data": None}, {"data": {}}])
def test_what_is_left_out_or_null_is_no_component(tree: dict[str, object]) -> None:
    assert list(component_paths(tree)) == []
    assert (dict(dataset_nodes(tree)), model_kwargs(tree)) == ({}, [])
    assert scope_names(tree) == (*DATA_PROVIDERS, *APP_PROVIDERS)


def test_the_scope_is_one_flat_list() -> None:
    assert scope_names(TREE) == (
        *("model", "loss", "first", "second", "a", "b", "csv"),
        *DATA_PROVIDERS,
        *APP_PROVIDERS,
        "task",
    )


def test_the_host_calls_plugins_and_loggers() -> None:
    found = {path for _, path in component_paths(TREE) if is_hooked(path)}
    assert found == {"plugins.a", "plugins.b", "loggers.csv"}


def test_data_sets_and_what_they_give_the_model() -> None:
    assert dataset_nodes(TREE) == {"train": NODE}
    assert model_kwargs(TREE) == ["task"]
