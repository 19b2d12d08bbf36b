"""The one wiring rule: YAML gives values, the container gives parts.

``plan`` is pure: from a node and the names in scope it says what will be called with what. The
checks read it, and ``build`` carries it out.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from legoloop.app.config.annotations import type_mismatch
from legoloop.app.config.targets import parameters, resolve
from legoloop.core.errors import ArgumentError, ConfigError
from legoloop.core.suggestions import did_you_mean

TARGET, ARGS, PARTIAL, INJECT = "_target_", "_args_", "_partial_", "_inject_"
SPECIAL = (TARGET, ARGS, PARTIAL, INJECT)
Node = Mapping[str, Any]


class NodeError(ConfigError):
    """What is wrong with a node; ``key`` is the full path of the key that it concerns."""

    def __init__(self, key: str, message: str) -> None:
        super().__init__(f"{key}: {message}")
        self.key = key
        self.message = message


@dataclass(frozen=True)
class Call:
    """What will be called: the values that the node gives, the parts that the scope does."""

    path: str
    name: str
    target: Callable[..., Any]
    values: dict[str, Any]
    parts: dict[str, str]
    args: list[Any]
    is_partial: bool


def is_node(value: Any) -> bool:
    """True for a mapping that names a target."""
    return isinstance(value, Mapping) and TARGET in value


def plan(path: str, node: Node, scope: Collection[str]) -> Call:
    """What a node will call, and with what.

    Each required parameter that the node leaves out is asked of the scope by its own name, or by
    the one that ``_inject_`` gives; parameters with defaults are left alone. A ``_partial_`` node
    gets only what ``_inject_`` names.

    Raises NodeError for a target that cannot be found, a key that the target does not take, a
    value of the wrong type, a required parameter that nobody has, and an unknown provider.

    >>> node = {"_target_": "torch.optim.SGD", "lr": 0.1}
    >>> plan("optimizer", node, scope=["params", "model"]).parts
    {'params': 'params'}
    """
    target, name = _target(path, node), str(node[TARGET])
    values = {key: value for key, value in node.items() if key not in SPECIAL}
    injected = dict(node.get(INJECT) or {})
    args = list(node.get(ARGS) or [])
    is_partial = bool(node.get(PARTIAL, False))
    accepted = parameters(target)
    if accepted is not None:
        _refuse_unknown(path, name, accepted, values)
        _refuse_unknown(f"{path}.{INJECT}", name, accepted, injected)
        _refuse_wrong_types(path, name, target, values)
        if not is_partial:
            taken = _taken_by_position(accepted, len(args))
            for needed in _required(accepted):
                if needed not in values and needed not in injected and needed not in taken:
                    injected[needed] = needed
    for needed, provider in injected.items():
        if provider not in scope:
            raise _missing_part(path, name, needed, provider, scope)
    return Call(path, name, target, values, injected, args, is_partial)


def nodes(path: str, tree: Any) -> Iterator[tuple[str, Node]]:
    """Every node in a part of the tree, the outer ones first."""
    if is_node(tree):
        yield path, tree
    for key, value in _children(tree):
        yield from nodes(f"{path}.{key}" if path else str(key), value)


def build(path: str, node: Node, scope: Mapping[str, Callable[[], Any]]) -> Any:
    """Call what the node plans, the nodes inside it first.

    Raises NodeError as ``plan`` does, and for a value that the target itself refuses.
    """
    planned = plan(path, node, scope)
    args = [built(f"{path}.{ARGS}", value, scope) for value in planned.args]
    values = {key: built(f"{path}.{key}", v, scope) for key, v in planned.values.items()}
    parts = {name: scope[provider]() for name, provider in planned.parts.items()}
    if planned.is_partial:
        return (
            partial(planned.target, *args, **values, **parts)
            if values or args or parts
            else (planned.target)
        )
    try:
        return planned.target(*args, **values, **parts)
    except NodeError:
        raise
    except ArgumentError as error:
        raise _refused_argument(path, error, values) from error
    except (TypeError, ValueError) as error:
        if _comes_from_deeper(error):
            raise
        raise NodeError(path, f"{planned.name} refuses it: {error}") from error


def _comes_from_deeper(error: Exception) -> bool:
    """Whether what the target calls raised it: a bug there, not a refusal of the values."""
    trace = error.__traceback__ and error.__traceback__.tb_next
    return trace is not None and trace.tb_next is not None


def _target(path: str, node: Node) -> Callable[..., Any]:
    try:
        return resolve(node[TARGET])
    except ConfigError as error:
        raise NodeError(f"{path}.{TARGET}", str(error)) from error


def built(path: str, value: Any, scope: Mapping[str, Callable[[], Any]]) -> Any:
    """The value, with what the nodes inside it make in their places."""
    if is_node(value):
        return build(path, value, scope)
    if isinstance(value, Mapping):
        return {key: built(f"{path}.{key}", item, scope) for key, item in value.items()}
    if isinstance(value, list):
        return [built(f"{path}.{number}", item, scope) for number, item in enumerate(value)]
    return value


def _children(tree: Any) -> Iterator[tuple[Any, Any]]:
    if isinstance(tree, Mapping):
        yield from tree.items()
    elif isinstance(tree, list):
        yield from enumerate(tree)


def _refuse_unknown(
    path: str,
    name: str,
    accepted: Mapping[str, inspect.Parameter],
    given: Collection[str],
) -> None:
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in accepted.values()):
        return
    for key in given:
        if key not in accepted:
            raise NodeError(
                f"{path}.{key}", f"{name} takes no '{key}'; {did_you_mean(key, accepted)}"
            )


def _refuse_wrong_types(
    path: str, name: str, target: Callable[..., Any], values: Mapping[str, Any]
) -> None:
    for key, value in values.items():
        if not any(True for _ in nodes("", value)):
            wanted = type_mismatch(target, key, value)
            if wanted is not None:
                raise NodeError(
                    f"{path}.{key}",
                    f"is {value!r}, {_kind(value)}; {name} takes {wanted}",
                )


def _kind(value: Any) -> str:
    kinds = {
        str: "a text",
        bool: "true or false",
        int: "a whole number",
        float: "a number",
        list: "a list",
        dict: "a mapping",
        type(None): "nothing",
    }
    return kinds.get(type(value), type(value).__name__)


def _taken_by_position(accepted: Mapping[str, inspect.Parameter], number: int) -> Collection[str]:
    return list(accepted)[:number]


def _required(accepted: Mapping[str, inspect.Parameter]) -> Iterator[str]:
    for name, parameter in accepted.items():
        variadic = parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
        if parameter.default is parameter.empty and not variadic:
            yield name


def _missing_part(
    path: str, target: str, needed: str, provider: str, scope: Collection[str]
) -> NodeError:
    if provider == needed:
        return NodeError(
            f"{path}.{needed}",
            f"{target} needs '{needed}', which has no value here and no provider of that name; "
            f"set {path}.{needed}=…, or inject one of the providers: {did_you_mean(needed, scope)}",
        )
    return NodeError(
        f"{path}.{INJECT}.{needed}",
        f"there is no provider '{provider}'; {did_you_mean(provider, scope)}",
    )


def _refused_argument(path: str, error: ArgumentError, values: Mapping[str, Any]) -> NodeError:
    first, _, rest = str(error).partition(" ")
    return NodeError(f"{path}.{first}", rest) if first in values else NodeError(path, str(error))
