"""Metrics computed from accumulated arrays."""

from __future__ import annotations

from legoloop.core.on_evaluation import EvaluationHook
from legoloop.core.protocols import EvaluationResults, Metrics, Scalars


class AccumulatorMetrics(EvaluationHook[EvaluationResults]):
    """A source: the metrics of each data set that an evaluation covers, as ``<dataset>/<metric>``.

    They are computed when the evaluation is due, after an epoch or within it, or at the end
    (``acc_plugin.when``), and hold until the weights change.

    Args:
        acc_plugin (EvaluationResults): the evaluation, such as a ``LoopsAcc``.
        method (Callable): takes the accumulated arrays of one data set, a dict of arrays, and
            returns a dict of numbers.
        prefix (str): goes before the name of the data set.

    >>> class Evaluates:
    ...     when, datasets = "epoch_end", ("val",)
    ...     def collect(self, name): return {"target": [1, 1, 0]}
    >>> metrics = AccumulatorMetrics(Evaluates(), method=lambda acc: {"ones": sum(acc["target"])})
    >>> metrics.epoch_end()
    >>> metrics.scalars()
    {'val/ones': 2.0}
    """

    def __init__(self, acc_plugin: EvaluationResults, method: Metrics, prefix: str = "") -> None:
        super().__init__(acc_plugin)
        self.method = method
        self.prefix = prefix
        self._scalars: Scalars = {}
        self._version: int | None = None

    def scalars(self) -> Scalars:
        """The metrics with the weights as they are; empty before they are computed."""
        return self._scalars if self._version == self._version_of_weights else {}

    def reset(self) -> None:
        """Drop the metrics."""
        self._scalars = {}

    def compute(self) -> None:
        """Compute the metrics."""
        self._version = self._version_of_weights
        self._scalars = {
            f"{self.prefix}{name}/{metric}": float(value)
            for name in self.acc_plugin.datasets
            for metric, value in self.method(dict(self.acc_plugin.collect(name))).items()
        }

    @property
    def _version_of_weights(self) -> int | None:
        """As the evaluation counts them; None: it does not, and they change between epochs."""
        return getattr(self.acc_plugin, "version", None)
