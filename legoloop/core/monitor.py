"""One scalar of some sources, looked at to decide by it."""

from __future__ import annotations

from collections.abc import Iterable

from legoloop.core.arguments import one_of
from legoloop.core.errors import ArgumentError
from legoloop.core.metric_direction import higher_is_better
from legoloop.core.protocols import Source
from legoloop.core.suggestions import did_you_mean


def listed(sources: Source | Iterable[Source]) -> list[Source]:
    """One source or several, as a list.

    >>> class Half:
    ...     def scalars(self): return {"half": 0.5}
    >>> len(listed(Half())), len(listed([Half(), Half()]))
    (1, 2)
    """
    return [sources] if isinstance(sources, Source) else list(sources)


def scalar(sources: Iterable[Source], metric: str, who: str) -> float:
    """The newest value of a scalar; ``who`` watches it.

    Raises ArgumentError if no source reports it, with the nearest that is there.

    >>> class Half:
    ...     def scalars(self): return {"half": 0.5}
    >>> scalar([Half()], "half", who="a test")
    0.5
    """
    scalars = {tag: value for source in sources for tag, value in source.scalars().items()}
    if metric not in scalars:
        raise ArgumentError(
            f"{who} watches '{metric}', which no source reports; {did_you_mean(metric, scalars)}"
        )
    return float(scalars[metric])


def is_maximized(metric: str, mode: str | None) -> bool:
    """Which way is better: as ``mode`` says, min or max; None: as is known of the metric.

    Raises ArgumentError for another mode, and where nobody knows.

    >>> is_maximized("val/accuracy", None), is_maximized("val/accuracy", "min")
    (True, False)
    """
    if mode is not None:
        one_of(("min", "max"), mode=mode)
        return mode == "max"
    known = higher_is_better(metric)
    if known is None:
        raise ArgumentError(
            f"is None, but the direction of '{metric}' is not known",
            argument="mode",
            remedy="set mode to min or max",
        )
    return known


def is_improvement(value: float, best: float | None, more: bool, min_delta: float = 0.0) -> bool:
    """Whether a value is better than the best so far, by more than ``min_delta``; nan never is.

    >>> is_improvement(0.9, 0.8, more=True), is_improvement(0.9, 0.8, more=False)
    (True, False)
    """
    if best is None:
        return value == value
    return (value - best if more else best - value) > min_delta
