"""Read and compare one monitored metric."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from legoloop.core.arguments import one_of
from legoloop.core.errors import ArgumentError
from legoloop.core.metric_direction import higher_is_better
from legoloop.core.on_evaluation import EvaluationHook
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
        raise _nobody_reports(metric, scalars, requester)
    return float(scalars[metric])


def _nobody_reports(metric: str, scalars: Iterable[str], requester: str) -> ArgumentError:
    return ArgumentError(
        f"{requester} monitors '{metric}', which no source reports",
        remedy=did_you_mean(metric, scalars),
    )


class Monitor:
    """Reads one metric wherever there is a new value of it, between two batches too.

    After an epoch any source may report it; within an epoch, those that compute something from an
    evaluation. There is none while its evaluation is not due, which is no mistake.

    Args:
        sources (ScalarSource | Iterable[ScalarSource]): one source of scalars or several.
        metric (str): its tag, such as ``val/loss``.
        requester (str): who monitors it, for messages.

    >>> class Half:
    ...     def scalars(self): return {"half": 0.5}
    >>> monitor = Monitor(Half(), "half", requester="a test")
    >>> monitor.after_epoch(), monitor.within_epoch()
    (0.5, None)
    """

    def __init__(
        self, sources: ScalarSource | Iterable[ScalarSource], metric: str, requester: str
    ) -> None:
        self.sources = as_list(sources)
        self.metric = metric
        self.requester = requester
        self.is_by_steps = False
        """Whether the source that reported the metric last is evaluated within epochs too."""
        self._is_known = False
        self._reported: set[int] = set()  # by these

    def after_epoch(self) -> float | None:
        """The value that an epoch ended with; None if the next evaluation is yet to come.

        Raises ArgumentError if no source reports the metric, with the nearest that is there.
        """
        read = [(source, source.scalars()) for source in self.sources]
        value = self._newest(read)
        if value is None and not self._is_awaited():
            tags = [tag for _, scalars in read for tag in scalars]
            raise _nobody_reports(self.metric, tags, self.requester)
        return value

    def within_epoch(self) -> float | None:
        """The value that was evaluated since the last batch; None if there is none."""
        evaluated = [source for source in self.sources if isinstance(source, EvaluationHook)]
        return self._newest([(source, source.scalars()) for source in evaluated])

    def _newest(self, read: Sequence[tuple[Any, Mapping[str, float]]]) -> float | None:
        value = None
        for source, scalars in read:
            if scalars:
                self._reported.add(id(source))
            if self.metric in scalars:
                value, self._is_known = float(scalars[self.metric]), True
                self.is_by_steps = isinstance(source, EvaluationHook) and source.is_by_steps
        return value

    def _is_awaited(self) -> bool:
        """Whether an evaluation that is yet to come has the metric, or may have it."""
        awaited = {
            id(source)
            for source in self.sources
            if isinstance(source, EvaluationHook) and source.is_awaited
        }
        return bool(awaited and (self._is_known or awaited - self._reported))


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
