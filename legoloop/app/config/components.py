"""Where the components stand in a tree, and which names are in scope for injection."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from legoloop.app.config.paths import Tree
from legoloop.app.config.settings import COLLECTIONS, COMPONENTS, HOOK_GROUPS

TRAIN = "train"
"""The name of the data set that is trained on."""

DATA_PROVIDERS = ("datasets", "loaders", "loop_iters", "train_iterator")
PLUGIN_LISTS = {
    "sources": "scalars",
    "picture_sources": "images",
    "evaluations": "collect",
    "drivers": "batches",
    "descents": "on_phase",
}
"""Lists of plugins that may be injected, and the method that the plugins in each of them have."""
APP_PROVIDERS = ("params", "device", "variation", *PLUGIN_LISTS)


def component_paths(tree: Tree) -> Iterator[tuple[str, str]]:
    """The name and path of every component: groups, then members of collections by name."""
    for name in COMPONENTS:
        if tree.get(name):
            yield name, name
    for collection in COLLECTIONS:
        for name, node in sorted((tree.get(collection) or {}).items()):
            if node is not None:
                yield name, f"{collection}.{name}"


def is_hooked(path: str) -> bool:
    """Whether the host calls the component at a path: plugins and loggers.

    >>> is_hooked("plugins.counter"), is_hooked("components.generator")
    (True, False)
    """
    return path.partition(".")[0] in HOOK_GROUPS


def dataset_nodes(tree: Tree) -> Mapping[str, Any]:
    """The nodes of the data sets by name."""
    return (tree.get("data") or {}).get("datasets") or {}


def model_kwargs(tree: Tree) -> list[str]:
    """The attributes of the train data set that may be injected, by name."""
    return list((tree.get("data") or {}).get("model_kwargs") or ())


def scope_names(tree: Tree) -> tuple[str, ...]:
    """The names that a required parameter may have to be injected: one flat list."""
    return (
        *dict(component_paths(tree)),
        *DATA_PROVIDERS,
        *APP_PROVIDERS,
        *model_kwargs(tree),
    )
