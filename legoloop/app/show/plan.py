"""What a configuration will make, as text.

Nothing is built for it, no data and no device touched; but for a schedule, of which the optimizer
and the length of the train data are a part.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from omegaconf import DictConfig, OmegaConf

from legoloop.app.config.layout import brick_paths, gathered, heard, scope_names
from legoloop.app.config.nodes import TARGET, Call, nodes, plan
from legoloop.app.config.trees import Tree, plain
from legoloop.app.config.validate import bricks
from legoloop.app.show.schedule import schedule
from legoloop.loop.order import Edge, in_order
from legoloop.loop.plan import declared_edges, drives, stage_table
from legoloop.loop.stages import hooks_of

Place = Callable[[str], str]


def listing(raw: DictConfig, place: Place) -> str:
    """What ``show`` asks for: ``config``, the resolved tree; ``plan``, the bricks and the plugins;
    ``schedule``, the learning rates.

    ``place`` tells where a key was set. The tree is one that ``check`` has passed. Raises
    ConfigError for a schedule that cannot be told beforehand.
    """
    if raw.show == "config":
        return OmegaConf.to_yaml(OmegaConf.create(plain(raw))).rstrip()
    if raw.show == "schedule":
        return schedule(raw)
    return _plan(raw, place)


def _plan(raw: DictConfig, place: Place) -> str:
    """Every brick, where its node came from and what it is given; then stages by plugins."""
    tree = plain(raw)
    planned = list(_planned(tree))
    width = max(len(brick.path) for brick in planned)
    lines = [line for brick in planned for line in _described(brick, width, place)]
    return "\n".join([*lines, "", _table(tree, planned)])


def _planned(tree: Tree) -> Iterator[Call]:
    scope = scope_names(tree)
    for path, brick in bricks(tree):
        for inner, node in nodes(path, brick):
            yield plan(inner, node, scope)


def _described(brick: Call, width: int, place: Place) -> Iterator[str]:
    origin = place(f"{brick.path}.{TARGET}")
    yield f"{brick.path:<{width}}  {brick.name}  {origin}"
    if brick.parts:
        parts = (name if name == part else f"{name}={part}" for name, part in brick.parts.items())
        yield f"{'':<{width}}    given {', '.join(parts)}"


def _table(tree: Tree, planned: list[Call]) -> str:
    at, paths = {brick.path: brick for brick in planned}, dict(brick_paths(tree))
    plugins = {name: at[paths[name]] for name in heard(tree)}
    classes: dict[str, type] = {
        name: brick.target for name, brick in plugins.items() if isinstance(brick.target, type)
    }
    edges = [*_held(tree, plugins), *declared_edges(classes, classes)]
    names = in_order([name for name in plugins if name in classes], edges)
    driver = next((name for name in names if drives(classes[name])), "")
    return stage_table({name: hooks_of(classes[name]) for name in names}, driver)


def _held(tree: Tree, plugins: dict[str, Call]) -> Iterator[Edge]:
    """A plugin that will be given another one will hold it."""
    lists = gathered(tree)
    for name, brick in plugins.items():
        for provider in brick.parts.values():
            for earlier in lists.get(provider, [provider]):
                if earlier in plugins:
                    yield earlier, name
