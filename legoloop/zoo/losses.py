"""Losses: ``loss(batch, outputs)``, the mean over the samples or one value for each."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import nn
from torch.nn import functional

from legoloop.core.arguments import one_of, probability, require_key
from legoloop.core.errors import DataError
from legoloop.core.protocols import Batch, Outputs

Reduction = Literal["mean", "none"]
REDUCTIONS = ("mean", "none")
SHOWN = 5


class _Loss(nn.Module):
    """What the losses share: how they reduce, and the names of what they compare."""

    def __init__(
        self, reduction: Reduction = "mean", output: str = "logits", target: str = "target"
    ) -> None:
        super().__init__()
        one_of(REDUCTIONS, reduction=reduction)
        self.reduction = reduction
        self.output = output
        self.target = target


class CrossEntropy(_Loss):
    """Cross entropy of ``logits`` (batch, classes) and ``target`` (batch,), whole numbers.

    Or soft targets: a share of each class, (batch, classes), such as ``mixed_target`` of a Mixup.

    ``reduction="none"`` gives one value per sample, (batch,). Raises ArgumentError for values out
    of range, and DataError for a label that is no class, with the ``idx`` of its samples.

    >>> batch = {"target": torch.tensor([0, 1])}
    >>> CrossEntropy(reduction="none")(batch, {"logits": torch.zeros(2, 2)})
    tensor([0.6931, 0.6931])
    """

    def __init__(
        self,
        reduction: Reduction = "mean",
        label_smoothing: float = 0.0,
        output: str = "logits",
        target: str = "target",
    ) -> None:
        super().__init__(reduction, output, target)
        probability(label_smoothing=label_smoothing)
        self.label_smoothing = label_smoothing

    def forward(self, batch: Batch, outputs: Outputs) -> torch.Tensor:
        """The loss."""
        logits = require_key(outputs, self.output, "what the model returns")
        target = require_key(batch, self.target, "the batch")
        is_soft = target.dtype.is_floating_point
        has_classes = logits.ndim > 1
        if is_soft and not (has_classes and target.shape == logits.shape):
            shares = f", and a share of each has the shape of the logits, {tuple(logits.shape)}"
            raise DataError(
                f"'{self.target}' is {target.dtype}; classes are whole numbers"
                + (shares if has_classes else "")
            )
        try:
            return functional.cross_entropy(
                logits,
                target.to(logits.dtype) if is_soft else target.long(),
                reduction=self.reduction,
                label_smoothing=self.label_smoothing,
                # torch skips samples of label -100 unless told of another: no label is skipped.
                ignore_index=torch.iinfo(torch.int64).min,
            )
        except IndexError:
            # Looked for only now: to look at each step would cost one more pass over the labels.
            classes = logits.shape[1]
            wrong = (target < 0) | (target >= classes)
            if wrong.any():
                raise _labels_refused(wrong, batch, self.target, f"0 to {classes - 1}") from None
            raise


class BinaryCrossEntropy(_Loss):
    """Cross entropy of ``logits`` (batch,), for class 1, and ``target`` (batch,) from 0 to 1.

    ``reduction="none"`` gives one value per sample, (batch,). Raises ArgumentError for another
    reduction, and DataError if the two differ in shape, or, on the CPU, for a label that is not
    from 0 to 1, with the ``idx`` of its samples.

    >>> batch = {"target": torch.tensor([0.0, 1.0])}
    >>> BinaryCrossEntropy()(batch, {"logits": torch.zeros(2)})
    tensor(0.6931)
    """

    def forward(self, batch: Batch, outputs: Outputs) -> torch.Tensor:
        """The loss."""
        logits, target = _of_one_shape(batch, outputs, self.output, self.target)
        # torch computes on with any label, and the loss of labels 1 and 2 falls without end. A
        # look at them costs microseconds here, but would hold up a GPU.
        if target.device.type == "cpu" and (wrong := (target < 0) | (target > 1)).any():
            raise _labels_refused(wrong, batch, self.target, "0 to 1")
        return functional.binary_cross_entropy_with_logits(logits, target, reduction=self.reduction)


class MeanSquaredError(_Loss):
    """Squared error of ``prediction`` and ``target``, both (batch,) or (batch, outputs).

    ``reduction="none"`` gives one value per sample, (batch,): the mean over its outputs. Raises
    ArgumentError for another reduction, DataError if the two differ in shape.

    >>> batch = {"target": torch.tensor([[1.0, 2.0], [3.0, 4.0]])}
    >>> MeanSquaredError(reduction="none")(batch, {"prediction": torch.zeros(2, 2)})
    tensor([ 2.5000, 12.5000])
    """

    def __init__(
        self, reduction: Reduction = "mean", output: str = "prediction", target: str = "target"
    ) -> None:
        super().__init__(reduction, output, target)

    def forward(self, batch: Batch, outputs: Outputs) -> torch.Tensor:
        """The loss."""
        prediction, target = _of_one_shape(batch, outputs, self.output, self.target)
        squared = functional.mse_loss(prediction, target, reduction=self.reduction)
        return squared.flatten(1).mean(dim=1) if squared.ndim > 1 else squared


def _of_one_shape(
    batch: Batch, outputs: Outputs, output: str, target: str
) -> tuple[torch.Tensor, torch.Tensor]:
    """Output and target, the latter as the former's type.

    torch would broadcast (batch,) against (batch, 1) to (batch, batch).
    """
    given = require_key(outputs, output, "what the model returns")
    wanted = require_key(batch, target, "the batch")
    if given.shape != wanted.shape:
        raise DataError(
            f"'{output}' has shape {tuple(given.shape)}, but '{target}' {tuple(wanted.shape)}"
        )
    return given, wanted.to(given.dtype)


def _labels_refused(wrong: torch.Tensor, batch: Batch, key: str, allowed: str) -> DataError:
    positions: list[int] = wrong.nonzero().flatten().tolist()
    labels, idx = batch[key].tolist(), batch.get("idx", range(len(wrong)))
    named = ", ".join(
        f"{labels[position]} at idx {_plain(idx[position])}" for position in positions[:SHOWN]
    )
    more = f", and {len(positions) - SHOWN} more" if len(positions) > SHOWN else ""
    return DataError(f"'{key}' has labels other than {allowed}: {named}{more}")


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, torch.Tensor) else value
