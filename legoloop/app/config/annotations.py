"""Whether a value from the configuration fits a parameter's annotation."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any


def type_mismatch(target: Callable[..., Any], name: str, value: Any) -> str | None:
    """None if the value fits, or if there is no annotation; else the annotation, as text.

    Lists stand for tuples too, since YAML has only lists; whole numbers are floats.

    >>> from legoloop.training.epochs import SimpleEpoch
    >>> type_mismatch(SimpleEpoch, "epoch_size", "many")
    'int | None'
    >>> type_mismatch(SimpleEpoch, "epoch_size", 3) is None
    True
    """
    annotation = _annotation(target, name)
    if annotation is Any or any(_fits(candidate, annotation) for candidate in _readings(value)):
        return None
    return _shown(annotation)


def _annotation(target: Callable[..., Any], name: str) -> Any:
    function: Any = target.__init__ if inspect.isclass(target) else target
    try:
        return _type_hints(function).get(name, Any)
    except Exception:
        return Any


@lru_cache(maxsize=1024)
def _type_hints(function: Callable[..., Any]) -> Mapping[str, Any]:
    return typing.get_type_hints(function)


def _readings(value: Any) -> tuple[Any, ...]:
    return (value, tuple(value)) if isinstance(value, list) else (value,)


def _fits(value: Any, annotation: Any) -> bool:
    from typeguard import CollectionCheckStrategy, TypeCheckError, check_type

    if isinstance(value, bool) and annotation in (int, float):
        return False
    try:
        check_type(value, annotation, collection_check_strategy=CollectionCheckStrategy.ALL_ITEMS)
    except TypeCheckError:
        return False
    return True


def _shown(annotation: Any) -> str:
    if inspect.isclass(annotation) and not typing.get_args(annotation):
        return annotation.__name__
    return str(annotation).replace("typing.", "").replace("collections.abc.", "")
