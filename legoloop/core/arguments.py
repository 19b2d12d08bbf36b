"""Checks of arguments, with the same messages everywhere."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from legoloop.core.errors import ArgumentError, DataError
from legoloop.core.suggestions import did_you_mean
from legoloop.core.text import shown


def at_least(least: int, **values: Any) -> None:
    """Raises ArgumentError unless each value is a whole number of at least so much.

    >>> at_least(1, hidden=0)
    Traceback (most recent call last):
    legoloop.core.errors.ArgumentError: hidden is 0; give a whole number of at least 1
    """
    for name, value in values.items():
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise ArgumentError(
                f"is {shown(value)}",
                argument=name,
                remedy=f"give a whole number of at least {least}",
            )


def probability(**values: Any) -> None:
    """Raises ArgumentError unless each value is a number from 0 to 1.

    >>> probability(dropout=1.5)
    Traceback (most recent call last):
    legoloop.core.errors.ArgumentError: dropout is 1.5; give a number from 0 to 1
    """
    for name, value in values.items():
        if not isinstance(value, int | float) or not 0 <= value <= 1:
            raise ArgumentError(
                f"is {shown(value)}", argument=name, remedy="give a number from 0 to 1"
            )


def layer_widths(**values: Any) -> None:
    """Raises ArgumentError unless each value is a sequence of whole numbers, at least one.

    >>> layer_widths(channels=[])
    Traceback (most recent call last):
    legoloop.core.errors.ArgumentError: channels is empty; give at least one width
    """
    for name, value in values.items():
        if isinstance(value, int | float | str):
            raise ArgumentError(
                f"is {shown(value)}", argument=name, remedy="give a list of widths, such as [128]"
            )
        if not value:
            raise ArgumentError("is empty", argument=name, remedy="give at least one width")
        for number, width in enumerate(value):
            at_least(1, **{f"{name}[{number}]": width})


def one_of(allowed: tuple[str, ...], **values: Any) -> None:
    """Raises ArgumentError unless each value is among those allowed.

    >>> one_of(("mean", "none"), reduction="sum")
    Traceback (most recent call last):
    legoloop.core.errors.ArgumentError: reduction is 'sum'; there are mean, none
    """
    for name, value in values.items():
        if value not in allowed:
            raise ArgumentError(
                f"is {shown(value)}", argument=name, remedy=did_you_mean(str(value), allowed)
            )


def require_key(values: Mapping[str, Any], key: str, whose: str) -> Any:
    """The value under a key; raises DataError with the keys that there are.

    >>> require_key({"features": 1}, "feature", whose="the batch")
    Traceback (most recent call last):
    legoloop.core.errors.DataError: the batch has no 'feature'; did you mean features?
    """
    if key not in values:
        raise DataError(f"{whose} has no '{key}'; {did_you_mean(key, values)}")
    return values[key]


def require_evaluated(datasets: Collection[str], acc_key: str) -> None:
    """Raises ArgumentError unless an evaluation covers a data set.

    >>> require_evaluated(("val",), acc_key="vall")
    Traceback (most recent call last):
    legoloop.core.errors.ArgumentError: acc_key is 'vall', which is not evaluated; did you mean val?
    """
    if acc_key not in datasets:
        raise ArgumentError(
            f"is '{acc_key}', which is not evaluated",
            argument="acc_key",
            remedy=did_you_mean(acc_key, datasets),
        )


def require_collected(arrays: Mapping[str, Any], name: str, whose: str) -> Any:
    """The array of a name; raises DataError with those that there are.

    >>> require_collected({"logits": 1}, "logit", whose="predicts.csv")
    Traceback (most recent call last):
    legoloop.core.errors.DataError: predicts.csv needs 'logit', which no accumulator collects; \
did you mean logits?
    """
    if name not in arrays:
        raise DataError(
            f"{whose} needs '{name}', which no accumulator collects; {did_you_mean(name, arrays)}"
        )
    return arrays[name]


def above_zero(**values: Any) -> None:
    """Raises ArgumentError unless each value is a number above 0.

    >>> above_zero(alpha=0)
    Traceback (most recent call last):
    legoloop.core.errors.ArgumentError: alpha is 0; give a number above 0
    """
    for name, value in values.items():
        if isinstance(value, bool) or not value > 0:
            raise ArgumentError(f"is {shown(value)}", argument=name, remedy="give a number above 0")
