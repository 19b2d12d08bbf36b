"""The references between the values of a tree, ``${optimizer.lr}``, and following them.

Only references to keys are followed here; what else OmegaConf resolves (``${oc.env:HOME}``,
``${now:…}``, relative keys) is left to it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from legoloop.app.config.paths import Tree, get_path

KEY = re.compile(r"\$\{([\w.]+)\}")


class UnsupportedReference(Exception):
    """A reference that is more than the path of a key."""


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
            yield from references(value, f"{path}.{index}")
    elif isinstance(tree, str) and "${" in tree:
        yield path, tree


def referenced_keys(text: str) -> list[str]:
    """The paths of the keys that a text refers to, not those given to a resolver.

    >>> referenced_keys("${run_dir}/weights of ${data.root}")
    ['run_dir', 'data.root']
    """
    return KEY.findall(text)


def follow(unresolved: Tree, text: str) -> Any:
    """The value that a text with references stands for.

    Raises UnsupportedReference for one that only OmegaConf can resolve, or that leads nowhere.

    >>> follow({"lr": 0.1, "twice": "${lr}"}, "${twice}")
    0.1
    """
    if len(KEY.sub("", text).replace("\\", "")) != len(KEY.sub("", text)) or "${" in KEY.sub(
        "", text
    ):
        raise UnsupportedReference(text)
    if (whole := KEY.fullmatch(text)) is not None:
        return _value_at(unresolved, whole.group(1))
    return KEY.sub(lambda match: _as_text(_value_at(unresolved, match.group(1))), text)


def _value_at(unresolved: Tree, path: str) -> Any:
    try:
        value = get_path(unresolved, path)
    except (KeyError, TypeError, IndexError) as error:
        raise UnsupportedReference(path) from error
    if isinstance(value, dict | list):
        if any(True for _ in references(value)):
            raise UnsupportedReference(path)
        return value
    return follow(unresolved, value) if isinstance(value, str) and "${" in value else value


def _as_text(value: Any) -> str:
    if not isinstance(value, str):
        raise UnsupportedReference(str(value))
    return value
