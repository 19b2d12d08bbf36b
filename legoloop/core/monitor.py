"""Read and compare one monitored metric."""

from __future__ import annotations

from collections.abc import Iterable

from legoloop.core.arguments import one_of
from legoloop.core.errors import ArgumentError
from legoloop.core.metric_direction import higher_is_better
from legoloop.core.protocols import ScalarSource
from legoloop.core.suggestions import did_you_mean


def as_list(sources: ScalarSource | Iterable[ScalarSource]) -> list[ScalarSource]:
    """One source or several, as a list.

    >>> class Half:
    ...     def scalars(self): return {"half": 0.5}
    >>> len(as_list(Half())), len(as_list([Half(), Half()]))
    (1, 2)
    """
    return [sources] if isinstance(sources, ScalarSource) else list(sources)


def latest_scalar(sources: Iterable[ScalarSource], metric: str, requester: str) -> float:
    """The newest value of a metric.

    Args:
        sources (Iterable[ScalarSource]): report scalars; the last one that has the metric counts.
        metric (str): its tag, such as ``val/loss``.
        requester (str): who monitors it, for the message.

    Raises ArgumentError if no source reports it, with the nearest that is there.

    >>> class Half:
    ...     def scalars(self): return {"half": 0.5}
    >>> latest_scalar([Half()], "half", requester="a test")
    0.5
    """
    scalars = {tag: value for source in sources for tag, value in source.scalars().items()}
    if metric not in scalars:
        raise ArgumentError(
            f"{requester} monitors '{metric}', which no source reports",
            remedy=did_you_mean(metric, scalars),
        )
    return float(scalars[metric])


def is_maximized(metric: str, mode: str | None) -> bool:
    """Whether a higher value is better: as ``mode`` says, min or max; None: as the metric says.

    Raises ArgumentError for another mode, and where the direction is not known.

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


def is_improvement(value: float, best: float | None, higher: bool, min_delta: float = 0.0) -> bool:
    """Whether a value is better than the best so far, by more than ``min_delta``; nan never is.

    >>> is_improvement(0.9, 0.8, higher=True), is_improvement(0.9, 0.8, higher=False)
    (True, False)
    """
    if best is None:
        return value == value
    return (value - best if higher else best - value) > min_delta
