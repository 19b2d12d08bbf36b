"""The order of plugins: a stable topological sort over names and edges."""

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
    predecessors: dict[str, set[str]] = {name: set() for name in names}
    for earlier, later in edges:
        if earlier != later:
            predecessors[later].add(earlier)
    ordered: list[str] = []
    while predecessors:
        ready = next((name for name, earlier in predecessors.items() if not earlier), None)
        if ready is None:
            raise PluginError(_cycle_message(predecessors))
        ordered.append(ready)
        del predecessors[ready]
        for awaited in predecessors.values():
            awaited.discard(ready)
    return ordered


def _cycle_message(predecessors: dict[str, set[str]]) -> str:
    path = [next(iter(predecessors))]
    while path[-1] not in path[:-1]:
        path.append(min(predecessors[path[-1]]))
    cycle = path[path.index(path[-1]) :]
    return (
        f"plugins wait for each other: {' after '.join(cycle)}; "
        "take one of these ties away (a plugin held by another, or its after / before)"
    )
