"""Everything that can be wrong with a configuration, found before anything is created."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from typing import Any

from omegaconf import DictConfig, OmegaConf

from legoloop.app.config.layout import (
    FROM_THE_DATA,
    TRAIN,
    brick_paths,
    datasets,
    gathered,
    heard,
    scope_names,
    tells,
)
from legoloop.app.config.nodes import INJECT, Call, NodeError, is_node, nodes, plan
from legoloop.app.config.schema import DATA, SWEEP, TOP, check_loaders, check_values
from legoloop.app.config.trees import Tree, at, is_under, plain
from legoloop.core.suggestions import did_you_mean


def check(raw: DictConfig, set_keys: Sequence[str] = ()) -> None:
    """Compare the tree with what its bricks take; ``set_keys`` are those that the user set.

    Raises NodeError for the first thing that is wrong: a key that nobody takes, a value of the
    wrong type or out of range, a target that does not exist, a required part that nobody has,
    bricks that need each other, a brick that was chosen and is not used.
    """
    tree = plain(raw)
    check_values(tree, TOP)
    check_values(tree.get("data") or {}, DATA, "data.")
    check_values(tree.get("sweep") or {}, SWEEP, "sweep.")
    _refuse_unknown(tree, _interpolated(raw))
    _refuse_missing(tree)
    check_loaders(tree["data"])
    scope = scope_names(tree)
    _refuse_twice(brick_paths(tree))
    calls: dict[str, list[Call]] = {}
    for path, brick in bricks(tree):
        if not is_node(brick):
            raise NodeError(path, f"is {brick!r}; a brick is a mapping with a _target_")
        calls[path] = [plan(inner, node, scope) for inner, node in nodes(path, brick)]
    needs = _needs(tree, calls)
    _refuse_circles(tree, needs)
    _refuse_unused(tree, needs, set_keys)


def bricks(tree: Tree) -> Iterator[tuple[str, Any]]:
    """The path and node of every brick: the data sets first, plugins and loggers last."""
    for name, node in datasets(tree).items():
        yield f"data.datasets.{name}", node
    yield from nodes("data.loaders", (tree.get("data") or {}).get("loaders"))
    for _, path in brick_paths(tree):
        yield path, at(tree, path)


def _needs(tree: Tree, calls: Mapping[str, Sequence[Call]]) -> dict[str, set[str]]:
    """Which names each name needs to be built first."""
    names = {path: name for name, path in brick_paths(tree)}
    needs: dict[str, set[str]] = {
        "params": {"model", "feed"},
        **{name: set(plugins) for name, plugins in gathered(tree).items()},
        **{name: {"datasets"} for name in (*FROM_THE_DATA, *tells(tree)) if name != "datasets"},
    }
    for path, made in calls.items():
        parts = {part for call in made for part in call.parts.values()}
        needs.setdefault(names.get(path, "datasets"), set()).update(parts)
    return needs


def _refuse_circles(tree: Tree, needs: Mapping[str, set[str]]) -> None:
    try:
        TopologicalSorter(needs).prepare()
    except CycleError as error:
        paths, circle = dict(brick_paths(tree)), error.args[1][:0:-1]
        start = next((place for place, name in enumerate(circle) if name in paths), 0)
        circle = [*circle[start:], *circle[: start + 1]]
        raise NodeError(
            paths.get(circle[0], "data.datasets"),
            f"cannot be built: {' needs '.join(circle)}; give one of them another part with "
            f"{INJECT}",
        ) from None


def _refuse_unused(tree: Tree, needs: Mapping[str, set[str]], set_keys: Sequence[str]) -> None:
    used, waiting = set(), list(heard(tree))
    while waiting:
        name = waiting.pop()
        if name not in used:
            used.add(name)
            waiting.extend(needs.get(name, ()))
    for name, path in brick_paths(tree):
        is_set = any(is_under(key, path) for key in set_keys)
        if name not in used and is_set:
            raise NodeError(path, "is chosen, but no plugin and no logger uses it")


def _refuse_unknown(tree: Tree, interpolated: set[str]) -> None:
    for known, path in ((TOP, ""), (DATA, "data."), (SWEEP, "sweep.")):
        for key in (at(tree, path.removesuffix(".")) or {}) if path else tree:
            if key not in known and f"{path}{key}" not in interpolated:
                raise NodeError(
                    f"{path}{key}", f"nothing takes this key; {did_you_mean(key, known)}"
                )


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
            "data.datasets",
            f"there is no data set '{TRAIN}'; {did_you_mean(TRAIN, datasets(tree))}",
        )
    predict = tree["data"].get("predict_dataset")
    if predict is not None and predict not in datasets(tree):
        raise NodeError(
            "data.predict_dataset",
            f"there is no data set '{predict}'; {did_you_mean(predict, datasets(tree))}",
        )


def _refuse_twice(bricks: Iterator[tuple[str, str]]) -> None:
    seen: dict[str, str] = {}
    for name, path in bricks:
        if name in seen:
            raise NodeError(path, f"the name is taken by {seen[name]} already; choose another")
        seen[name] = path
