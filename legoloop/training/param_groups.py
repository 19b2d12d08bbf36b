"""Parameter groups for an optimizer."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import Any

import torch
from torch import nn

from legoloop.core.errors import ArgumentError
from legoloop.core.text import shorten

Settings = dict[str, Any]


def param_groups(
    model: nn.Module, loss: nn.Module | None = None, **rules: Mapping[str, Any] | None
) -> list[dict[str, Any]]:
    """The parameters of a model in groups, as an optimizer of torch takes them.

    A rule applies to the parameters whose name matches one of its ``patterns``, such as
    ``backbone.*``, or whose module's class matches one of its ``types``, such as ``*Norm*``. Its
    other entries are settings of the optimizer for these, such as ``lr`` or ``weight_decay``. A
    parameter matched by several rules gets the settings of all.

    Args:
        model: the model.
        loss: a loss with parameters, whose names begin with ``loss.`` here; those that are frozen
            are left out.
        **rules: a mapping for each rule, by a name of its own; None: left out.

    Returns the parameter groups; each parameter is in one. Raises ArgumentError for a rule that
    matches no parameter, has no pattern or no setting, or a misspelt one, and where two rules give
    a parameter different values of a setting.

    >>> model = nn.Sequential(nn.Linear(4, 8), nn.LayerNorm(8))
    >>> groups = param_groups(
    ...     model, no_decay={"patterns": ["*bias"], "types": ["*Norm*"], "weight_decay": 0.0}
    ... )
    >>> optimizer = torch.optim.AdamW(groups, lr=0.001, weight_decay=0.1)
    >>> [(len(group["params"]), group["weight_decay"]) for group in optimizer.param_groups]
    [(1, 0.1), (3, 0.0)]
    """
    modules = {"": model} if loss is None else {"": model, "loss": loss}
    chosen: dict[nn.Parameter, Settings] = {weight: {} for weight in model.parameters()}
    if loss is not None:
        chosen.update({weight: {} for weight in loss.parameters() if weight.requires_grad})
    named = [
        (name, module, weight)
        for prefix, root in modules.items()
        for path, module in root.named_modules(prefix=prefix, remove_duplicate=False)
        for name, weight in module.named_parameters(path, recurse=False)
        if weight in chosen
    ]
    for name, rule in rules.items():
        if rule is not None:
            _apply(name, rule, named, chosen)
    groups: list[dict[str, Any]] = []
    for weight, settings in chosen.items():
        group = next((g for g in groups if _settings(g) == settings), None)
        if group is None:
            group = {"params": [], **settings}
            groups.append(group)
        group["params"].append(weight)
    return groups


def matching(
    named: Iterable[tuple[str, Any]], patterns: Iterable[str]
) -> Iterator[tuple[str, Any]]:
    """Those whose name matches one of the patterns, in which * stands for anything.

    >>> list(matching([("body.weight", 1), ("head.weight", 2)], ["body.*"]))
    [('body.weight', 1)]
    """
    patterns = list(patterns)
    for name, value in named:
        if _matches(name, patterns):
            yield name, value


def _matches(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _apply(
    name: str,
    rule: Mapping[str, Any],
    named: list[tuple[str, nn.Module, nn.Parameter]],
    chosen: dict[nn.Parameter, Settings],
) -> None:
    settings = {key: value for key, value in rule.items() if key not in ("patterns", "types")}
    patterns, types = _patterns(name, "patterns", rule), _patterns(name, "types", rule)
    if not patterns and not types:
        raise ArgumentError(
            "has no patterns", argument=name, remedy="give patterns=[…], types=[…] or both"
        )
    if not settings:
        raise ArgumentError(
            "has no settings", argument=name, remedy="give one, such as lr or weight_decay"
        )
    for key in settings:
        _reject_misspelt(name, key)
    matched = {
        full_name: weight
        for full_name, module, weight in named
        if _matches(full_name, patterns) or _matches(type(module).__name__, types)
    }
    if not matched:
        every = [full_name for full_name, *_ in named]
        raise ArgumentError(
            "matches no parameter", argument=name, remedy=f"there are {shorten(every)}"
        )
    for full_name, weight in matched.items():
        for key, value in settings.items():
            if chosen[weight].setdefault(key, value) != value:
                raise ArgumentError(
                    f"sets {key} of '{full_name}' to {value}, and another rule to "
                    f"{chosen[weight][key]}",
                    argument=name,
                    remedy="let only one of them match it",
                )


def _patterns(name: str, key: str, rule: Mapping[str, Any]) -> list[str]:
    given = rule.get(key) or []
    if isinstance(given, str):
        raise ArgumentError(
            f"is {given!r}", argument=f"{name}.{key}", remedy="give a list of patterns"
        )
    return list(given)


def _settings(group: dict[str, Any]) -> Settings:
    return {key: value for key, value in group.items() if key != "params"}


def _reject_misspelt(name: str, key: str) -> None:
    """An optimizer accepts any key, and ignores those that it does not know."""
    known = {
        parameter
        for optimizer in vars(torch.optim).values()
        if inspect.isclass(optimizer)
        for parameter in inspect.signature(optimizer).parameters
    }
    if key not in known and (close := get_close_matches(key, known, n=1)):
        raise ArgumentError(
            "is read by no optimizer", argument=f"{name}.{key}", remedy=f"did you mean {close[0]}?"
        )
