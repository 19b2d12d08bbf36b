"""The order in which plugins hear a stage: a pure function over names and edges."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from legoloop.core.errors import PluginError

Edge = tuple[str, str]


def in_order(names: Sequence[str], edges: Iterable[Edge]) -> list[str]:
    """The names, each after those that an edge ``(earlier, later)`` puts before it.

    Stable: where the edges leave a choice, the given order decides. Raises PluginError with the
    names of a cycle.

    >>> in_order(["board", "metrics", "counter"], [("metrics", "board")])
    ['metrics', 'board', 'counter']
    """
    waits_for: dict[str, set[str]] = {name: set() for name in names}
    for earlier, later in edges:
        if earlier != later:
            waits_for[later].add(earlier)
    ordered: list[str] = []
    while waits_for:
        ready = next((name for name, earlier in waits_for.items() if not earlier), None)
        if ready is None:
            raise PluginError(_cycle_message(waits_for))
        ordered.append(ready)
        del waits_for[ready]
        for awaited in waits_for.values():
            awaited.discard(ready)
    return ordered


def _cycle_message(waits_for: dict[str, set[str]]) -> str:
    path = [next(iter(waits_for))]
    while path[-1] not in path[:-1]:
        path.append(min(waits_for[path[-1]]))
    cycle = path[path.index(path[-1]) :]
    return (
        f"plugins wait for each other: {' after '.join(cycle)}; "
        "take one of these ties away (a plugin held by another, or its after / before)"
    )
