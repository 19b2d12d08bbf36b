"""The components of a blueprint, where they come from, and the order of the plugins."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator

from legoloop.app.config.binding import TARGET, BoundCall, calls_in
from legoloop.app.config.blueprint import Blueprint
from legoloop.loop.plan import stage_table
from legoloop.loop.stages import Stage, hooks_of

WhereSet = Callable[[str], str | None]


def plan_text(blueprint: Blueprint, where_set: WhereSet) -> str:
    """Every component, where its node was set and what it is given; then stages by plugins.

    Components that nothing asks for are listed after the others.

    Args:
        blueprint: of the run.
        where_set: gives the file, or the command line, that set a key.
    """
    calls = [
        *(call for made in blueprint.datasets.values() for call in made.calls()),
        *calls_in(blueprint.loaders),
        *(call for made in blueprint.components.values() for call in made.calls()),
    ]
    width = max(map(len, [*(call.path for call in calls), *blueprint.unused.values()]))
    lines = [line for call in calls for line in _described(call, width, where_set)]
    unused = [
        f"{path:<{width}}  not built: nothing asks for it  ({where_set(f'{path}.{TARGET}')})"
        for path in blueprint.unused.values()
    ]
    return "\n".join([*lines, *unused, "", _table(blueprint)])


def _described(call: BoundCall, width: int, where_set: WhereSet) -> Iterator[str]:
    where = where_set(f"{call.path}.{TARGET}")
    yield f"{call.path:<{width}}  {call.target}  ({where})"
    if call.dependencies:
        given = (
            name if name == provider else f"{name}={provider}"
            for name, provider in call.dependencies.items()
        )
        yield f"{'':<{width}}    given {', '.join(given)}"


def _table(blueprint: Blueprint) -> str:
    """As ``plan.txt``; a plugin that a function makes has no hooks before it is built."""
    hooks: dict[str, Collection[Stage]] = {}
    for name in blueprint.plugin_order:
        cls = blueprint.plugin_class(name)
        hooks[name] = hooks_of(cls) if cls is not None else ()
    return stage_table(hooks, blueprint.epoch_driver or "")
