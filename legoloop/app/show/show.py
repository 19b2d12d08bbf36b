"""What ``show`` asks for, as text: ``config``, ``plan`` or ``schedule``."""

from __future__ import annotations

from collections.abc import Callable

from legoloop.app.config.blueprint import Blueprint
from legoloop.app.hydra_bridge.tree_as_yaml import tree_as_yaml
from legoloop.app.show.plan import plan_text
from legoloop.app.show.schedule import schedule_text
from legoloop.app.wiring.make_app import validated_app
from legoloop.core.errors import ConfigError


def show(blueprint: Blueprint, where_set: Callable[[str], str | None]) -> str:
    """What a blueprint would run.

    Nothing is built for it, no data and no device touched, but for a schedule: the optimizer and
    the length of the train data are a part of that.

    Args:
        blueprint: of the run.
        where_set: gives the file, or the command line, that set a key.

    Raises ConfigError for a schedule that is not known beforehand, and for a container of the
    user's own, which may follow none of it.
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
    return schedule_text(app, blueprint) if asked == "schedule" else plan_text(blueprint, where_set)
