"""From a blueprint to an app: what every entry point goes through."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from legoloop.app.config.blueprint import Blueprint
from legoloop.app.wiring.container import make_app
from legoloop.app.wiring.user_container import make_user_app
from legoloop.core.rng import seed


def validated_app(
    blueprint: Blueprint, from_data: Mapping[str, Any] | None = None
) -> tuple[Any, Blueprint]:
    """The app of a blueprint, ours or the container that its ``app`` names, and what feeds it.

    Nothing is built yet, and all generators are seeded.

    Args:
        blueprint: of a run.
        from_data: attributes of the train data set that are known; for our app.

    Raises ConfigError for a mistake in the configuration.
    """
    if blueprint.settings.app is None:
        app = make_app(blueprint, from_data)
    else:
        app, blueprint = make_user_app(blueprint)
    seed(blueprint.settings.seed)
    return app, blueprint
