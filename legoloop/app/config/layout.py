"""Where things stand in a tree: its bricks by name, its data sets, what is in scope."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from legoloop.app.config.nodes import is_node
from legoloop.app.config.schema import BRICKS, COLLECTIONS, HEARD
from legoloop.app.config.targets import resolve
from legoloop.app.config.trees import Tree

TRAIN = "train"
"""The name of the data set that is trained on."""

FROM_THE_DATA = ("datasets", "loaders", "loop_iters", "train_iterator")
GATHERED = {
    "sources": "scalars",
    "picture_sources": "images",
    "evaluations": "collect",
    "drivers": "batches",
}
"""Lists of plugins, and the method that those in each of them have."""
FROM_THE_APP = ("params", "device", *GATHERED)


def scope_names(tree: Tree) -> list[str]:
    """The names that a required parameter may have to be given a part: one flat list."""
    return [*dict(brick_paths(tree)), *FROM_THE_DATA, *FROM_THE_APP, *tells(tree)]


def brick_paths(tree: Tree) -> Iterator[tuple[str, str]]:
    """The name and path of every brick: groups, then parts, plugins and loggers by own names."""
    for name in BRICKS:
        if tree.get(name):
            yield name, name
    for collection in COLLECTIONS:
        for name, node in sorted((tree.get(collection) or {}).items()):
            if node is not None:
                yield name, f"{collection}.{name}"


def heard(tree: Tree) -> list[str]:
    """The names of plugins and loggers in name order: they hear the stages."""
    return sorted(name for name, path in brick_paths(tree) if path.split(".")[0] in HEARD)


def gathered(tree: Tree) -> dict[str, list[str]]:
    """The names of the plugins in each of the lists."""
    return {name: _plugins_with(tree, method) for name, method in GATHERED.items()}


def _plugins_with(tree: Tree, method: str) -> list[str]:
    plugins = tree.get("plugins") or {}
    return [
        name
        for name, path in brick_paths(tree)
        if path.startswith("plugins.")
        and is_node(plugins[name])
        and hasattr(resolve(plugins[name]["_target_"]), method)
    ]


def datasets(tree: Tree) -> Mapping[str, Any]:
    """The nodes of the data sets by name."""
    return (tree.get("data") or {}).get("datasets") or {}


def tells(tree: Tree) -> list[str]:
    """What the train data set tells the model, by name."""
    return list((tree.get("data") or {}).get("model_kwargs") or ())
