"""Binding: what a node of the configuration will call, and with what.

A node is a mapping with a ``_target_``. Its other keys are values; each *required* parameter of the
target that it leaves out is injected: asked of the container by the parameter's own name, or by the
name that ``_inject_`` gives.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from legoloop.app.config.annotations import type_mismatch
from legoloop.app.config.targets import parameters, resolve
from legoloop.core.errors import ConfigError
from legoloop.core.suggestions import did_you_mean
from legoloop.core.text import shown

TARGET, ARGS, PARTIAL, INJECT = "_target_", "_args_", "_partial_", "_inject_"
SPECIAL = (TARGET, ARGS, PARTIAL, INJECT)
MISSING = "???"
"""A value that has to be given, as OmegaConf writes it."""
Node = Mapping[str, Any]


@dataclass(frozen=True)
class BoundCall:
    """A node, bound to the parameters of its target; plain data, which pickles.

    Args:
        path: the dotted path of the node.
        target: the dotted path of the class or function.
        values: arguments that the node gives; nodes inside them are bound calls.
        dependencies: arguments that the container gives: parameter to name of the provider.
        args: arguments by position, before the others.
        is_partial: whether a ``functools.partial`` is made instead of a call.
    """

    path: str
    target: str
    values: dict[str, Any]
    dependencies: dict[str, str]
    args: tuple[Any, ...] = ()
    is_partial: bool = False

    @property
    def function(self) -> Callable[..., Any]:
        """The class or function itself."""
        return resolve(self.target)

    def calls(self) -> Iterator[BoundCall]:
        """This call, and those that are nested in its arguments."""
        yield self
        for value in (*self.args, *self.values.values()):
            yield from calls_in(value)


def calls_in(value: Any) -> Iterator[BoundCall]:
    """The bound calls in a value, the outer ones first."""
    if isinstance(value, BoundCall):
        yield from value.calls()
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from calls_in(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from calls_in(inner)


def is_node(value: Any) -> bool:
    """True for a mapping that names a target."""
    return isinstance(value, Mapping) and TARGET in value


def bind(path: str, node: Node, scope: Collection[str]) -> BoundCall:
    """Bind a node and the nodes inside it; nothing is called.

    Parameters with defaults are left alone. A ``_partial_`` node is injected only what ``_inject_``
    names.

    Args:
        path: the dotted path of the node, for messages.
        node: the mapping with a ``_target_``.
        scope: the names that the container provides.

    Raises ConfigError for a target that cannot be found, a key that the target does not take, a
    value that is missing or of the wrong type, a required parameter that nothing provides, an
    unknown provider.

    >>> node = {"_target_": "torch.optim.SGD", "lr": 0.1}
    >>> bind("optimizer", node, scope=["params", "model"]).dependencies
    {'params': 'params'}
    """
    target = _target(path, node)
    name = str(node[TARGET])
    values = {key: value for key, value in node.items() if key not in SPECIAL}
    _check_special(path, node)
    _check_given(path, values)
    injected = dict(node.get(INJECT) or {})
    args = list(node.get(ARGS) or [])
    is_partial = node.get(PARTIAL) or False
    accepted = parameters(target)
    if accepted is not None:
        _check_keys(path, name, accepted, values)
        _check_keys(f"{path}.{INJECT}", name, accepted, injected)
        _check_types(path, name, target, values)
        if not is_partial:
            positional = list(accepted)[: len(args)]
            for needed in _required(accepted):
                if needed not in values and needed not in injected and needed not in positional:
                    injected[needed] = needed
    for needed, provider in injected.items():
        if provider not in scope:
            raise _missing_provider(path, name, needed, provider, scope)
    return BoundCall(
        path,
        name,
        {key: bind_nested(f"{path}.{key}", value, scope) for key, value in values.items()},
        injected,
        tuple(bind_nested(f"{path}.{ARGS}", value, scope) for value in args),
        is_partial,
    )


def bind_nested(path: str, value: Any, scope: Collection[str]) -> Any:
    """The value, with a bound call in the place of each node inside it."""
    if is_node(value):
        return bind(path, value, scope)
    if isinstance(value, Mapping):
        return {key: bind_nested(f"{path}.{key}", item, scope) for key, item in value.items()}
    if isinstance(value, list):
        return [bind_nested(f"{path}.{index}", item, scope) for index, item in enumerate(value)]
    return value


def _target(path: str, node: Node) -> Callable[..., Any]:
    try:
        return resolve(node[TARGET])
    except ConfigError as error:
        raise ConfigError(str(error), key=f"{path}.{TARGET}") from error


def _check_special(path: str, node: Node) -> None:
    """Raises ConfigError for an ``_args_``, ``_partial_`` or ``_inject_`` of the wrong type."""
    kinds = {
        ARGS: (list, "a list of values"),
        PARTIAL: (bool, "true or false"),
        INJECT: (Mapping, "the names of providers by parameter"),
    }
    for key, (kind, wanted) in kinds.items():
        if not isinstance(value := node.get(key), kind | None):
            raise ConfigError(f"is {shown(value)}", key=f"{path}.{key}", remedy=f"give {wanted}")
    for parameter, provider in (node.get(INJECT) or {}).items():
        if not isinstance(provider, str):
            key = f"{path}.{INJECT}.{parameter}"
            raise ConfigError(
                f"is {shown(provider)}",
                key=key,
                remedy=f"give the name of a provider, or write ~{key}",
            )


def _check_given(path: str, values: Mapping[str, Any]) -> None:
    for key, value in values.items():
        if value == MISSING:
            raise ConfigError(
                "has no value, which the option leaves to you",
                key=f"{path}.{key}",
                remedy=f"give one: {path}.{key}=…",
            )


def _check_keys(
    path: str, name: str, accepted: Mapping[str, inspect.Parameter], given: Collection[str]
) -> None:
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in accepted.values()):
        return
    for key in given:
        if key not in accepted:
            raise ConfigError(
                f"{name} takes no '{key}'; {did_you_mean(key, accepted)}", key=f"{path}.{key}"
            )


def _check_types(
    path: str, name: str, target: Callable[..., Any], values: Mapping[str, Any]
) -> None:
    for key, value in values.items():
        # What nodes make is not known yet, but a mapping that has some in it stays a mapping.
        is_mapping = isinstance(value, Mapping) and not is_node(value)
        if is_mapping or not _holds_node(value):
            wanted = type_mismatch(target, key, {} if _holds_node(value) else value)
            if wanted is not None:
                raise ConfigError(
                    f"is {shown(value)}, {_kind(value)}; {name} takes {wanted}", key=f"{path}.{key}"
                )


def _holds_node(value: Any) -> bool:
    if isinstance(value, Mapping):
        return is_node(value) or any(map(_holds_node, value.values()))
    return isinstance(value, list) and any(map(_holds_node, value))


def _kind(value: Any) -> str:
    kinds = {
        str: "a text",
        bool: "true or false",
        int: "a whole number",
        float: "a number",
        list: "a list",
        dict: "a mapping",
        type(None): "null",
    }
    return kinds.get(type(value), type(value).__name__)


def _required(accepted: Mapping[str, inspect.Parameter]) -> Iterator[str]:
    for name, parameter in accepted.items():
        variadic = parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
        if parameter.default is parameter.empty and not variadic:
            yield name


def _missing_provider(
    path: str, target: str, needed: str, provider: str, scope: Collection[str]
) -> ConfigError:
    if provider == needed:
        return ConfigError(
            f"{target} needs '{needed}', which has no value here and no provider of that name; "
            f"set {path}.{needed}=…, or inject one of the providers: {did_you_mean(needed, scope)}",
            key=f"{path}.{needed}",
        )
    return ConfigError(
        f"there is no provider '{provider}'; {did_you_mean(provider, scope)}",
        key=f"{path}.{INJECT}.{needed}",
    )
