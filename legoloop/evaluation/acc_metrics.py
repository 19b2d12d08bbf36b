"""Scalars from what accumulated."""

from __future__ import annotations

from legoloop.core.on_evaluation import EvaluationHook
from legoloop.core.protocols import Evaluation, Metrics, Scalars


class AccumulatorMetrics(EvaluationHook[Evaluation]):
    """A source: the metrics of each data set that an evaluation covers, as ``<name>/<metric>``.

    ``method`` takes the accumulated arrays of one data set and gives a dict of numbers. They are
    taken at the end of what the evaluation says (``acc_plugin.at``) and hold until the weights
    change. ``prefix`` goes before the name.

    >>> class Seen:
    ...     at, names = "epoch_end", ("val",)
    ...     def accumulated(self, name): return {"target": [1, 1, 0]}
    >>> metrics = AccumulatorMetrics(Seen(), method=lambda acc: {"ones": sum(acc["target"])})
    >>> metrics.epoch_end()
    >>> metrics.scalars()
    {'val/ones': 2.0}
    """

    def __init__(self, acc_plugin: Evaluation, method: Metrics, prefix: str = "") -> None:
        super().__init__(acc_plugin)
        self.method = method
        self.prefix = prefix
        self._scalars: Scalars = {}

    def scalars(self) -> Scalars:
        """What was measured with the weights as they are."""
        return self._scalars

    def forget(self) -> None:
        """Nothing was measured with the weights to come."""
        self._scalars = {}

    def measure(self) -> None:
        """Take the metrics."""
        self._scalars = {
            f"{self.prefix}{name}/{metric}": float(value)
            for name in self.acc_plugin.names
            for metric, value in self.method(dict(self.acc_plugin.accumulated(name))).items()
        }
