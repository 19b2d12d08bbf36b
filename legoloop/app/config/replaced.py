"""What ships makes room for what the user put in its place."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from legoloop.app.config.binding import INJECT, SPECIAL, TARGET, is_node
from legoloop.app.config.paths import Tree, find_path, is_under
from legoloop.app.config.references import referenced_keys, references
from legoloop.app.config.targets import parameters, resolve
from legoloop.core.errors import ConfigError


def left_over_keys(tree: Tree, unresolved: Tree, origins: Mapping[str, str]) -> list[str]:
    """The keys that belong to a target that the user replaced, and that the new one does not take.

    ``feed: {_target_: mine.Feed}`` lies over a node of ours, whose other keys the user never wrote.
    What the user wrote stays, and what some value refers to.

    Args:
        tree: the values, every reference resolved.
        unresolved: the same, with references as they were written.
        origins: the keys that the user set, and where.

    >>> ours = {"_target_": "fractions.Fraction", "numerator": 1, "channels_last": "auto"}
    >>> left_over_keys({"feed": ours}, {"feed": ours}, {"feed._target_": "mine.yaml"})
    ['feed.channels_last']
    """
    replaced = [key.removesuffix(f".{TARGET}") for key in origins if key.endswith(f".{TARGET}")]
    ours = [
        key
        for path in replaced
        for key in _not_taken(path, find_path(tree, path))
        if not any(is_under(given, key) for given in origins)
    ]
    if not ours:
        return []
    referenced = {key for _, text in references(unresolved) for key in referenced_keys(text)}
    return [key for key in ours if not any(is_under(other, key) for other in referenced)]


def _not_taken(path: str, node: Any) -> Iterator[str]:
    """The keys of a node that its target has no parameter for."""
    try:
        taken = parameters(resolve(node[TARGET])) if is_node(node) else None
    except ConfigError:
        return  # reported with its key, when it is bound
    if taken is None or any(each.kind is each.VAR_KEYWORD for each in taken.values()):
        return
    yield from (f"{path}.{key}" for key in node if key not in taken and key not in SPECIAL)
    injected = node.get(INJECT)
    if isinstance(injected, Mapping):
        yield from (f"{path}.{INJECT}.{key}" for key in injected if key not in taken)


def without(tree: Tree, paths: Collection[str]) -> Tree:
    """A tree without the parts at some dotted paths; what lies beside them is shared.

    >>> without({"a": {"b": 1, "c": 2}, "d": 3}, ["a.b", "d"])
    {'a': {'c': 2}}
    """
    for path in paths:
        key, _, rest = path.partition(".")
        if rest:
            tree = {**tree, key: without(tree[key], [rest])}
        else:
            tree = {name: value for name, value in tree.items() if name != key}
    return tree
