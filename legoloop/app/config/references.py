"""The references between the values of a tree, such as ``${optimizer.lr}``."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from copy import deepcopy
from typing import Any

from legoloop.app.config.paths import Tree, get_path

KEY = re.compile(r"\$\{([A-Za-z_][\w.]*)\}")
"""A reference to a key; what else OmegaConf resolves (``${oc.env:HOME}``, ``${.lr}``) is not."""


def references(tree: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """The dotted path and text of each value that refers to something.

    >>> list(references({"seed": 0, "data": {"seed": "${seed}"}}))
    [('data.seed', '${seed}')]
    """
    if isinstance(tree, Mapping):
        for key, value in tree.items():
            yield from references(value, f"{path}.{key}" if path else str(key))
    elif isinstance(tree, list):
        for index, value in enumerate(tree):
            yield from references(value, f"{path}[{index}]")
    elif isinstance(tree, str) and "${" in tree:
        yield path, tree


def referenced_keys(text: str) -> list[str]:
    """The paths of the keys that a text refers to.

    >>> referenced_keys("${run_dir}/weights of ${data.root}")
    ['run_dir', 'data.root']
    """
    return KEY.findall(text)


def refers_to(text: str, keys: Iterable[str]) -> bool:
    """Whether a text refers to one of these top-level keys, by ``oc.select`` too.

    >>> refers_to("run ${name}", ["name"]), refers_to("${oc.select:name,x}", ["name"])
    (True, True)
    >>> refers_to("${name_of.it}", ["name"])
    False
    """
    names = "|".join(map(re.escape, keys))
    return re.search(rf"\$\{{(oc\.select:\s*)?({names})[,}}]", text) is not None


def resolve_references(unresolved: Tree, otherwise: Callable[[str], Any]) -> Tree:
    """The tree with what each reference stands for in its place.

    Args:
        unresolved: the tree, with references as they were written.
        otherwise: gives the value at a path that is more than references to keys.

    >>> resolve_references({"lr": 0.1, "name": "a ${lr}", "twice": "${lr}"}, lambda path: path)
    {'lr': 0.1, 'name': 'name', 'twice': 0.1}
    """
    return _resolved(unresolved, "", unresolved, otherwise)  # type: ignore[no-any-return]


def _resolved(value: Any, path: str, root: Tree, otherwise: Callable[[str], Any]) -> Any:
    if isinstance(value, dict):
        prefix = f"{path}." if path else ""
        return {key: _resolved(v, f"{prefix}{key}", root, otherwise) for key, v in value.items()}
    if isinstance(value, list):
        return [_resolved(v, f"{path}[{i}]", root, otherwise) for i, v in enumerate(value)]
    if not isinstance(value, str) or "${" not in value:
        return value
    try:
        return _follow(value, root)
    except _NotKeys:
        return otherwise(path)


class _NotKeys(Exception):
    """A reference that is more than keys, or leads nowhere."""


def _follow(text: str, root: Tree, depth: int = 0) -> Any:
    rest = KEY.sub("", text)
    if "${" in rest or "\\" in rest or depth > 20:
        raise _NotKeys
    if (whole := KEY.fullmatch(text)) is not None:
        return _value_at(whole.group(1), root, depth)
    return KEY.sub(lambda match: _text_at(match.group(1), root, depth), text)


def _value_at(path: str, root: Tree, depth: int) -> Any:
    try:
        value = get_path(root, path)
    except (KeyError, TypeError) as error:
        raise _NotKeys from error
    if isinstance(value, dict | list):
        if any(True for _ in references(value)):
            raise _NotKeys
        return deepcopy(value)
    return _follow(value, root, depth + 1) if isinstance(value, str) and "${" in value else value


def _text_at(path: str, root: Tree, depth: int) -> str:
    value = _value_at(path, root, depth)
    if not isinstance(value, str):
        raise _NotKeys
    return value
