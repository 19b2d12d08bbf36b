"""Which jobs of a sweep can be trained together as one program, and what keeps others apart.

It is found from their blueprints: whatever the program runs on must be equal, but for the numbers
that each member of it has of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_type_hints

from legoloop.app.config.binding import BoundCall
from legoloop.app.config.blueprint import Blueprint
from legoloop.app.config.paths import get_path
from legoloop.app.config.settings import DataSettings, Seed
from legoloop.loop.member_support import why_alone
from legoloop.training.members.row_steps import MOMENTS
from legoloop.training.step.descent import GradientDescent

NUMBER = "a number"
"""In the place of a number that each member has of its own."""
PROGRAM = ("model", "feed", "loss", "opt")
"""The arguments of a GradientDescent that its passes and steps are made of."""


@dataclass(frozen=True)
class Together:
    """Jobs that are trained as one program.

    Args:
        numbers: of the jobs, in the order of their rows.
    """

    numbers: tuple[int, ...]


@dataclass(frozen=True)
class Grouping:
    """How the jobs of a sweep are carried out.

    Args:
        groups: those that are trained together.
        alone: why each of the others is not, by number.
    """

    groups: tuple[Together, ...]
    alone: Mapping[int, str]

    def of(self, number: int) -> Together | None:
        """The group of a job."""
        return next((group for group in self.groups if number in group.numbers), None)

    def line(self) -> str:
        """Which jobs go together, and what keeps the others apart.

        >>> Grouping((Together((0, 1, 2)),), {3: "model.hidden differs"}).line()
        'trained together: jobs 0-2; alone: job 3 (model.hidden differs)'
        """
        together = " | ".join(_jobs(group.numbers) for group in self.groups)
        reasons: dict[str, list[int]] = {}
        for number, reason in self.alone.items():
            reasons.setdefault(reason, []).append(number)
        alone = ", ".join(f"{_jobs(numbers)} ({reason})" for reason, numbers in reasons.items())
        parts = [f"trained together: {together or 'no jobs'}", f"alone: {alone}" if alone else ""]
        return "; ".join(filter(None, parts))


def grouped(blueprints: Mapping[int, Blueprint], most: int) -> Grouping:
    """Group the jobs of a sweep.

    Args:
        blueprints: of the jobs, by number.
        most: how many jobs are trained together at most.
    """
    alone: dict[int, str] = {}
    alike: dict[str, list[int]] = {}
    values: dict[int, Mapping[str, Any]] = {}
    for number, blueprint in blueprints.items():
        reason = why_no_member(blueprint)
        if reason is not None:
            alone[number] = reason
            continue
        values[number] = program_values(blueprint)
        # By repr, since 1 == True == 1.0.
        alike.setdefault(repr(sorted(values[number].items())), []).append(number)
    groups: list[Together] = []
    for numbers in alike.values():
        if len(numbers) > 1 and most > 1:
            groups.extend(Together(tuple(chunk)) for chunk in chunks(numbers, most))
        else:
            others = next((one for one in alike.values() if one is not numbers), numbers)
            alone[numbers[0]] = _difference(values[others[0]], values[numbers[0]])
    return Grouping(tuple(groups), dict(sorted(alone.items())))


def why_no_member(blueprint: Blueprint) -> str | None:
    """Why the job of a blueprint cannot be trained together with any other; None: it can."""
    settings = blueprint.settings
    if settings.app is not None:
        return "app is given"
    if settings.ranks > 1:
        return f"ranks is {settings.ranks}"
    for name in blueprint.plugin_order:
        call = blueprint.components[name]
        if call.values.get("enabled") is False:
            continue
        drives = name == blueprint.epoch_driver
        if (reason := why_alone(call.function, drives)) is not None:
            return f"{call.path} {reason}"
    descent = _descent(blueprint)
    if descent is None:
        return "it has no GradientDescent, or several"
    optimizer = blueprint.components.get(descent.dependencies.get("opt", ""))
    if optimizer is None or optimizer.function not in MOMENTS:
        kind = "not a component" if optimizer is None else f"a {optimizer.function.__name__}"
        return f"its optimizer is {kind}, none of {', '.join(each.__name__ for each in MOMENTS)}"
    return None


def program_values(blueprint: Blueprint) -> Mapping[str, Any]:
    """What the program of a job runs on, by dotted key; numbers of each member are all alike."""
    descent = _descent(blueprint)
    assert descent is not None
    found: dict[str, Any] = {}
    for call in _reached(blueprint, descent):
        node = get_path(blueprint.tree, call.path)
        if call is descent:
            node = _without(node, call.function.of_each_member)  # type: ignore[attr-defined]
        found.update(_flat(call.path, _masked(node, call)))
    seeds = {name for name, kind in _hints(DataSettings) if kind == Seed}
    found.update(_flat("data", {k: v for k, v in blueprint.tree["data"].items() if k not in seeds}))
    found["device"] = blueprint.settings.device
    return found


def _descent(blueprint: Blueprint) -> BoundCall | None:
    hooked = [blueprint.components[name] for name in blueprint.plugin_order]
    found = [call for call in hooked if call.function is GradientDescent]
    return found[0] if len(found) == 1 else None


def _reached(blueprint: Blueprint, descent: BoundCall) -> list[BoundCall]:
    """The descent, and the components that its program is made of, and those that these need."""
    reached = {descent.path: descent}
    left = [descent.dependencies[name] for name in PROGRAM if name in descent.dependencies]
    while left:
        call = blueprint.components.get(left.pop())
        if call is not None and call.path not in reached:
            reached[call.path] = call
            needed = {name for inner in call.calls() for name in inner.dependencies.values()}
            left += needed - set(blueprint.plugin_order)
    return list(reached.values())


def _masked(node: Any, call: BoundCall) -> Any:
    """The node of a component without the numbers that each member has of its own."""
    if call.function in MOMENTS:
        return _without_numbers(node)
    own = getattr(call.function, "member_numbers", ())
    return {key: _without_numbers(value) if key in own else value for key, value in node.items()}


def _without_numbers(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _without_numbers(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_without_numbers(inner) for inner in value]
    return NUMBER if isinstance(value, int | float) and not isinstance(value, bool) else value


def _without(node: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    kept = {key: value for key, value in node.items() if key not in names}
    if isinstance(injected := kept.get("_inject_"), Mapping):
        kept["_inject_"] = {key: value for key, value in injected.items() if key not in names}
    return kept


def _flat(path: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _flat(f"{path}.{key}", inner)
    else:
        yield path, value


def _difference(one: Mapping[str, Any], other: Mapping[str, Any]) -> str:
    for key in dict.fromkeys([*one, *other]):
        if repr(one.get(key)) != repr(other.get(key)):
            return f"{key} differs"
    return "no other job is left for it"


def chunks(numbers: Sequence[int], most: int) -> Iterator[Sequence[int]]:
    """As few as can be, of sizes as equal as can be."""
    count = -(-len(numbers) // most)
    for n in range(count):
        yield numbers[n * len(numbers) // count : (n + 1) * len(numbers) // count]


def _hints(kind: type) -> list[tuple[str, Any]]:
    return list(get_type_hints(kind, include_extras=True).items())


def _jobs(numbers: Sequence[int]) -> str:
    """
    >>> _jobs([0, 1, 2, 5]), _jobs([3])
    ('jobs 0-2, 5', 'job 3')
    """
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    texts = [f"{run[0]}-{run[-1]}" if len(run) > 1 else str(run[0]) for run in runs]
    return f"job{'s' if len(numbers) > 1 else ''} {', '.join(texts)}"
