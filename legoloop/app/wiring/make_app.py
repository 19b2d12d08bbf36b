"""From a composed configuration to an app, checked and seeded: what every door goes through."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from omegaconf import DictConfig

from legoloop.app.config.validate import check
from legoloop.app.wiring.container import make_app
from legoloop.app.wiring.user_container import own_app
from legoloop.core.rng import seed


def validated_app(tree: DictConfig, set_keys: Sequence[str]) -> tuple[Any, DictConfig]:
    """The app of a tree, ours or the container that its ``app`` names, and the tree that feeds it.

    ``set_keys`` are the keys that the user set. Nothing is built yet, and all generators are
    seeded. Raises NodeError for a mistake in the configuration.
    """
    if tree.get("app") is None:
        check(tree, set_keys)
        app = make_app(tree)
    else:
        app, tree = own_app(tree, set_keys)
    seed(tree.seed)
    return app, tree
