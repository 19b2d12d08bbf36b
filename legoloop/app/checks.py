"""Everything that can be wrong with a configuration, found before anything is created."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from omegaconf import DictConfig, OmegaConf

from legoloop.app.container import TRAIN, brick_paths, datasets, scope_names
from legoloop.app.nodes import NodeError, is_node, nodes, plan
from legoloop.app.schema import DATA, TOP, check_loaders, check_values
from legoloop.app.trees import Tree, plain
from legoloop.core.suggest import suggestion


def check(raw: DictConfig) -> None:
    """Compare the tree with what its bricks take.

    Raises NodeError for the first thing that is wrong: a key that nobody takes, a value of the
    wrong type or out of range, a target that does not exist, a required part that nobody has.
    """
    tree = plain(raw)
    check_values(tree, TOP)
    check_values(tree.get("data") or {}, DATA, "data.")
    _refuse_unknown(tree, _interpolated(raw))
    _refuse_missing(tree)
    check_loaders(tree["data"])
    scope = scope_names(tree)
    _refuse_twice(brick_paths(tree))
    for path, brick in bricks(tree):
        if not is_node(brick):
            raise NodeError(path, f"is {brick!r}; a brick is a mapping with a _target_")
        for inner, node in nodes(path, brick):
            plan(inner, node, scope)


def bricks(tree: Tree) -> Iterator[tuple[str, Any]]:
    """The path and node of every brick: the data sets first, plugins and loggers last."""
    for name, node in datasets(tree).items():
        yield f"data.datasets.{name}", node
    for _, path in brick_paths(tree):
        part: Any = tree
        for key in path.split("."):
            part = part[key]
        yield path, part


def _refuse_unknown(tree: Tree, interpolated: set[str]) -> None:
    for known, part, path in ((TOP, tree, ""), (DATA, tree.get("data") or {}, "data.")):
        for key in part:
            if key not in known and f"{path}{key}" not in interpolated:
                raise NodeError(f"{path}{key}", f"nothing takes this key; {suggestion(key, known)}")


def _interpolated(raw: DictConfig) -> set[str]:
    """The paths that some value of the tree refers to, and everything above them."""
    text = str(OmegaConf.to_container(raw, resolve=False))
    paths = re.findall(r"\$\{([\w.]+)\}", text)
    return {path.rsplit(".", cut)[0] for path in paths for cut in range(path.count(".") + 1)}


def _refuse_missing(tree: Tree) -> None:
    for name in ("data", "plugins"):
        if not tree.get(name):
            raise NodeError(name, f"is empty; choose an option with {name}=…")
    if TRAIN not in datasets(tree):
        raise NodeError(
            "data.datasets", f"there is no data set '{TRAIN}'; {suggestion(TRAIN, datasets(tree))}"
        )
    predict = tree["data"].get("predict")
    if predict is not None and predict not in datasets(tree):
        raise NodeError(
            "data.predict",
            f"there is no data set '{predict}'; {suggestion(predict, datasets(tree))}",
        )


def _refuse_twice(bricks: Iterator[tuple[str, str]]) -> None:
    seen: dict[str, str] = {}
    for name, path in bricks:
        if name in seen:
            raise NodeError(path, f"the name is taken by {seen[name]} already; choose another")
        seen[name] = path
