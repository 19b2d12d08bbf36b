"""What ``show`` asks for, as text: ``config``, ``plan``, ``schedule``, ``lr`` or ``batch_size``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from legoloop.app.config.blueprint import Blueprint
from legoloop.app.hydra_bridge.tree_as_yaml import tree_as_yaml
from legoloop.app.show.batch_size import batch_size_text
from legoloop.app.show.learning_rate import learning_rate_text
from legoloop.app.show.plan import plan_text
from legoloop.app.show.schedule import schedule_text
from legoloop.app.wiring.make_app import validated_app
from legoloop.core.errors import ConfigError

MEASURED: dict[str, Callable[[Any, Blueprint], str]] = {
    "schedule": schedule_text,
    "lr": learning_rate_text,
    "batch_size": batch_size_text,
}
"""What is built for the answer, by what was asked."""


def show(blueprint: Blueprint, where_set: Callable[[str], str | None]) -> str:
    """What a blueprint would run.

    Nothing is built for ``config`` and ``plan``, no data and no device touched. A ``schedule`` is
    that of the optimizer and the length of the train data; ``lr`` and ``batch_size`` are measured
    in steps that are made and forgotten.

    Args:
        blueprint: of the run.
        where_set: gives the file, or the command line, that set a key.

    Raises ConfigError for what is not known beforehand or cannot be measured, and for a container
    of the user's own, which may follow none of it.
    """
    app, blueprint = validated_app(blueprint)
    asked = blueprint.settings.show
    if asked == "config":
        return tree_as_yaml(blueprint.tree).rstrip()
    if blueprint.settings.app is not None:
        remedy = "print(host.plan.table())" if asked == "plan" else "show=config"
        raise ConfigError(
            f"{asked} is known for the components of the tree, not for those of your app",
            key="show",
            remedy=f"for your app use {remedy}",
        )
    if asked == "plan":
        return plan_text(blueprint, where_set)
    return MEASURED[asked or ""](app, blueprint)
