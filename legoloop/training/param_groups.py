"""Parameters that the optimizer treats each in its own way."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import Any

import torch
from torch import nn

from legoloop.core.errors import ArgumentError
from legoloop.training.shorten import shorten

Settings = dict[str, Any]


def param_groups(model: nn.Module, **rules: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    """The parameters of a model in groups, as an optimizer of torch takes them.

    Each rule has ``names``, patterns such as ``backbone.*`` for the names of parameters; or
    ``types``, patterns such as ``*Norm*`` for the class of the module that a parameter stands in;
    or both, of which one must fit; and settings of the optimizer, such as ``lr`` or
    ``weight_decay``, for the parameters that it fits. A parameter that several rules fit gets the
    settings of them all; those with the same settings make a group, and each is in one. A rule
    that is None is left out.

    Raises ArgumentError for a rule that fits no parameter, has no pattern or no setting, or whose
    setting looks misspelt, and where two rules give one parameter different values of a setting.

    >>> model = nn.Sequential(nn.Linear(4, 8), nn.LayerNorm(8))
    >>> groups = param_groups(
    ...     model, no_decay={"names": ["*bias"], "types": ["*Norm*"], "weight_decay": 0.0}
    ... )
    >>> optimizer = torch.optim.AdamW(groups, lr=0.001, weight_decay=0.1)
    >>> [(len(group["params"]), group["weight_decay"]) for group in optimizer.param_groups]
    [(1, 0.1), (3, 0.0)]
    """
    chosen: dict[nn.Parameter, Settings] = {weight: {} for weight in model.parameters()}
    for name, rule in rules.items():
        if rule is not None:
            _apply(name, rule, model, chosen)
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
    """Those whose name fits one of the patterns, in which * stands for anything.

    >>> list(matching([("body.weight", 1), ("head.weight", 2)], ["body.*"]))
    [('body.weight', 1)]
    """
    patterns = list(patterns)
    for name, value in named:
        if any(fnmatchcase(name, pattern) for pattern in patterns):
            yield name, value


def _apply(
    name: str, rule: Mapping[str, Any], model: nn.Module, chosen: dict[nn.Parameter, Settings]
) -> None:
    settings = {key: value for key, value in rule.items() if key not in ("names", "types")}
    names, types = _patterns(name, "names", rule), _patterns(name, "types", rule)
    if not names and not types:
        raise ArgumentError(f"{name} has no patterns; give names=[…], types=[…] or both")
    if not settings:
        raise ArgumentError(f"{name} has no settings; give one, such as lr or weight_decay")
    for key in settings:
        _refuse_misspelt(name, key)
    fitting = [*_of_names(model, names), *_of_types(model, types)]
    if not fitting:
        every = [full_name for full_name, _ in model.named_parameters()]
        raise ArgumentError(f"{name} fits no parameter; there are {shorten(every)}")
    for full_name, weight in fitting:
        for key, value in settings.items():
            if chosen[weight].setdefault(key, value) != value:
                raise ArgumentError(
                    f"{name} sets {key} of '{full_name}' to {value}, and another rule to "
                    f"{chosen[weight][key]}; let only one of them fit it"
                )


def _patterns(name: str, key: str, rule: Mapping[str, Any]) -> list[str]:
    given = rule.get(key) or []
    if isinstance(given, str):
        raise ArgumentError(f"{name}.{key} is {given!r}; give a list of patterns")
    return list(given)


def _of_names(model: nn.Module, names: list[str]) -> Iterator[tuple[str, nn.Parameter]]:
    """By any of its names, if modules share a parameter."""
    yield from matching(model.named_parameters(remove_duplicate=False), names)


def _of_types(model: nn.Module, types: list[str]) -> Iterator[tuple[str, nn.Parameter]]:
    for path, module in model.named_modules():
        if any(fnmatchcase(type(module).__name__, pattern) for pattern in types):
            yield from module.named_parameters(path, recurse=False)


def _settings(group: dict[str, Any]) -> Settings:
    return {key: value for key, value in group.items() if key != "params"}


def _refuse_misspelt(name: str, key: str) -> None:
    """An optimizer takes any key, and reads those that it knows."""
    known = {
        parameter
        for optimizer in vars(torch.optim).values()
        if inspect.isclass(optimizer)
        for parameter in inspect.signature(optimizer).parameters
    }
    if key not in known and (close := get_close_matches(key, known, n=1)):
        raise ArgumentError(f"{name}.{key} is read by no optimizer; did you mean {close[0]}?")
