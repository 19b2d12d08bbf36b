"""Accumulators that keep no columns: a mean or a metric, updated batch by batch."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

import torch

from legoloop.core.arguments import require_key
from legoloop.core.batch_size import DefaultBatchDesc
from legoloop.core.errors import ArgumentError, DataError
from legoloop.core.eval_mode import untouched
from legoloop.core.out_of_memory import is_out_of_memory
from legoloop.core.protocols import Batch, BatchSizer, Loss, Outputs
from legoloop.core.text import in_one_line
from legoloop.evaluation.accumulators import Accumulator

MERGED_EXACTLY = ("dim_zero_sum", "dim_zero_cat", "dim_zero_max", "dim_zero_min")
"""How torchmetrics reduces states of which two may be merged; a mean of means is none of them."""


class MeanLoss(Accumulator):
    """The mean of a loss over all samples, of which none is kept: "my loss, evaluated".

    A loss of one value per sample is averaged over the samples; a scalar counts as often as its
    batch has samples. Random numbers, train flags and buffers of the loss stay as they are.

    Args:
        loss (Callable): of the batch and the outputs, as it is trained with.
        batch_desc (BatchSizer | None): what a scalar counts by; None: the samples of the batch.

    Raises DataError for a loss that is neither a scalar nor one value per sample.

    >>> mean = MeanLoss(lambda batch, outputs: (outputs["y"] - batch["target"]) ** 2)
    >>> mean.add({"y": torch.tensor([1.0, 2.0]), "target": torch.tensor([0.0, 0.0])})
    >>> mean.add({"y": torch.tensor([4.0]), "target": torch.tensor([0.0])})
    >>> mean.result()
    7.0
    """

    takes_all: ClassVar[bool] = True

    def __init__(self, loss: Loss, batch_desc: BatchSizer | None = None) -> None:
        self.loss = loss
        self.batch_desc = batch_desc or DefaultBatchDesc()
        self._sums: list[float] = []  # of each batch, added exactly: in whatever order
        self._samples = 0

    def add(self, values: Mapping[str, Any]) -> None:
        """Add the loss of one batch, given with the outputs."""
        whole = dict(values)
        parts: tuple[Batch, Outputs] = getattr(values, "parts", (whole, whole))
        batch, outputs = parts
        with untouched(self.loss):
            losses = self.loss(batch, outputs)
        if not isinstance(losses, torch.Tensor) or losses.ndim > 1:
            raise DataError(
                f"the loss is {_described(losses)}; return a scalar, or one value per sample"
            )
        if losses.ndim == 0:
            number = self.batch_desc(batch)
            self._sums.append(losses.item() * number)
        else:
            number = len(losses)
            self._sums.append(losses.double().sum().item())
        self._samples += number

    def result(self) -> float:
        """The mean; nan without a sample."""
        are_finite = all(map(math.isfinite, self._sums))
        total = math.fsum(self._sums) if are_finite else sum(self._sums)
        return total / self._samples if self._samples else math.nan

    def merge(self, other: MeanLoss) -> MeanLoss:
        """A new accumulator with the samples of both."""
        merged = MeanLoss(self.loss, self.batch_desc)
        merged._sums = [*self._sums, *other._sums]
        merged._samples = self._samples + other._samples
        return merged

    def __getstate__(self) -> dict[str, Any]:
        """What other ranks are sent to merge; a loss may be a function that does not pickle."""
        return {**vars(self), "loss": None}


class MetricAccumulator(Accumulator):
    """A metric of torchmetrics over all samples, updated batch by batch.

    Several ranks merge what it counted, they do not average results. A metric that cannot be merged
    exactly, since it averages over batches itself, is evaluated by each rank as a whole.

    Args:
        metric (Metric): a metric, or a collection of them, of torchmetrics; or anything with their
            ``update``, ``compute`` and ``reset``. It is copied, not changed.
        inputs (Sequence[str] | Mapping[str, str]): which entries of the batch and the outputs
            ``update`` is given, in its order, or by its keywords.

    Raises ArgumentError for anything else; DataError if neither the batch nor the outputs have an
    entry, and for what a metric of torchmetrics refuses.

    >>> class Largest:
    ...     def reset(self): self.largest = float("-inf")
    ...     def update(self, x): self.largest = max(self.largest, float(x.max()))
    ...     def compute(self): return self.largest
    >>> largest = MetricAccumulator(Largest(), inputs=["x"])
    >>> largest.add({"x": torch.tensor([1.0, 3.0])}); largest.add({"x": torch.tensor([2.0])})
    >>> largest.result()
    3.0
    """

    takes_all: ClassVar[bool] = True

    def __init__(self, metric: Any, inputs: Sequence[str] | Mapping[str, str]) -> None:
        parts = dict(metric.items()) if isinstance(metric, Mapping | torch.nn.ModuleDict) else None
        for part in [metric] if parts is None else parts.values():
            if not all(callable(getattr(part, name, None)) for name in ("update", "compute")):
                raise ArgumentError(
                    f"is a {type(part).__name__}, without update and compute",
                    argument="metric",
                    remedy="give a metric of torchmetrics",
                )
        if isinstance(inputs, str) or not inputs:
            raise ArgumentError(
                f"is {inputs!r}", argument="inputs", remedy="give names, such as [logits, target]"
            )
        self.inputs = inputs
        self._is_collection = parts is not None
        self._metrics = {
            name: _fresh(part) for name, part in ({"": metric} if parts is None else parts).items()
        }
        self._is_empty = True

    @property
    def can_merge(self) -> bool:
        """Whether two of them can be merged without averaging."""
        return all(map(_merges_exactly, self._metrics.values()))

    def add(self, values: Mapping[str, Any]) -> None:
        """Update the metric with one batch, given with the outputs."""
        named = isinstance(self.inputs, Mapping)
        names = list(self.inputs.values() if isinstance(self.inputs, Mapping) else self.inputs)
        given = [require_key(values, name, "the batch with the outputs") for name in names]
        device = next((each.device for each in given if isinstance(each, torch.Tensor)), None)
        for metric in self._metrics.values():
            if device is not None and isinstance(metric, torch.nn.Module):
                metric.to(device)
            try:
                if named:
                    metric.update(**dict(zip(self.inputs, given, strict=True)))
                else:
                    metric.update(*given)
            except (ValueError, RuntimeError) as error:
                if not _is_of_torchmetrics(metric) or is_out_of_memory(error):
                    raise
                refusal = in_one_line(error)
                raise DataError(
                    f"{type(metric).__name__} refuses what it is given: {refusal}"
                ) from error
        self._is_empty = False

    def result(self) -> Any:
        """A number, one by class or name, or a matrix, as it computes it; nan without a batch."""
        if self._is_empty:
            return math.nan
        results = {name: _plain(metric.compute()) for name, metric in self._metrics.items()}
        return results if self._is_collection else results[""]

    def merge(self, other: MetricAccumulator) -> MetricAccumulator:
        """A new accumulator with the batches of this one and then the other's.

        Raises NotImplementedError for a metric that would average.
        """
        if not self.can_merge:
            raise NotImplementedError("the metric averages over batches, so two cannot be merged")
        merged = copy.copy(self)
        merged._metrics = {
            name: _merged(metric, other._metrics[name]) for name, metric in self._metrics.items()
        }
        merged._is_empty = self._is_empty and other._is_empty
        return merged

    def __getstate__(self) -> dict[str, Any]:
        """On the host, for other ranks."""
        metrics = {
            name: metric.to("cpu") if isinstance(metric, torch.nn.Module) else metric
            for name, metric in self._metrics.items()
        }
        return {**vars(self), "_metrics": metrics}


def _fresh(metric: Any) -> Any:
    metric = copy.deepcopy(metric)
    metric.reset()
    if hasattr(metric, "sync_on_compute"):
        metric.sync_on_compute = False  # the ranks are merged here, and it would count them twice
    return metric


def _is_of_torchmetrics(metric: Any) -> bool:
    """Which checks what ``update`` is given."""
    return type(metric).__module__.partition(".")[0] == "torchmetrics"


def _merges_exactly(metric: Any) -> bool:
    reductions: Mapping[str, Any] | None = getattr(metric, "_reductions", None)
    if not hasattr(metric, "merge_state") or metric.full_state_update is not False:
        return False
    names = (getattr(each, "__name__", None) for each in (reductions or {}).values())
    return bool(reductions) and all(name in MERGED_EXACTLY for name in names)


def _merged(first: Any, second: Any) -> Any:
    """The states of both; torchmetrics puts those that come in before its own."""
    merged = copy.deepcopy(second)
    merged.merge_state(first)
    merged._update_count += first._update_count
    merged._computed = None
    return merged


def _plain(result: Any) -> Any:
    if isinstance(result, Mapping):
        return {str(name): _plain(value) for name, value in result.items()}
    if isinstance(result, torch.Tensor):
        if result.ndim == 1:
            return {str(number): value for number, value in enumerate(result.tolist())}
        return result.item() if result.ndim == 0 else result.numpy(force=True)
    if isinstance(result, Iterable) and not isinstance(result, str):
        return [_plain(value) for value in result]
    return result


def _described(losses: Any) -> str:
    if isinstance(losses, torch.Tensor):
        return f"of shape {tuple(losses.shape)}"
    return f"a {type(losses).__name__}"
