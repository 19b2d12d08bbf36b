"""References between values, followed by OmegaConf."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from omegaconf import OmegaConf

from legoloop.app.config.paths import Tree


def resolve_with(unresolved: Tree, values: Mapping[str, Any]) -> tuple[Tree, Tree]:
    """A tree with other values, resolved and as written; what refers to them follows.

    Args:
        unresolved: the tree, with references as they were written.
        values: the new values by dotted path.

    >>> resolve_with({"a": 1, "b": "${a}"}, {"a": 2})
    ({'a': 2, 'b': 2}, {'a': 2, 'b': '${a}'})
    """
    changed = OmegaConf.create(unresolved, flags={"allow_objects": True})
    for path, value in values.items():
        OmegaConf.update(changed, path, value, force_add=True)
    resolved: Any = OmegaConf.to_container(changed, resolve=True, throw_on_missing=True)
    written: Any = OmegaConf.to_container(changed, resolve=False)
    return resolved, written
