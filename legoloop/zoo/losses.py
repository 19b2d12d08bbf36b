"""Losses ``loss(batch, outputs)``: the mean over the samples, or one value per sample."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import nn
from torch.nn import functional

from legoloop.core.arguments import one_of, probability, require_key
from legoloop.core.errors import DataError
from legoloop.core.protocols import Batch, Outputs
from legoloop.core.text import shorten

Reduction = Literal["mean", "none"]
REDUCTIONS = ("mean", "none")
MAX_SHOWN = 5
NO_LABEL = torch.iinfo(torch.int64).min


class _Loss(nn.Module):
    """Base class: the reduction, and the names of output and target."""

    def __init__(
        self, reduction: Reduction = "mean", output: str = "logits", target: str = "target"
    ) -> None:
        super().__init__()
        one_of(REDUCTIONS, reduction=reduction)
        self.reduction = reduction
        self.output = output
        self.target = target


class CrossEntropy(_Loss):
    """Cross entropy for multiclass tasks, with class indices or probabilities as targets.

    Args:
        reduction: ``mean``, or ``none`` for one value per sample, shape (batch,).
        label_smoothing: 0 to 1, as in ``torch.nn.CrossEntropyLoss``.
        output: name of the logits, shape (batch, classes).
        target: name of the targets: class indices, shape (batch,), integer; or a probability for
            each class, shape (batch, classes), float, such as ``mixed_target`` of a Mixup.
        ignore_index: samples with this label do not count: the mean is over the others, and 0
            if there are none; ``none`` gives 0 for them. None: every sample has a label.

    Raises:
        ArgumentError: for another reduction, or a ``label_smoothing`` out of range.
        DataError: for a label that is not a class, with the ``idx`` of its samples.

    >>> batch = {"target": torch.tensor([0, 1])}
    >>> CrossEntropy(reduction="none")(batch, {"logits": torch.zeros(2, 2)})
    tensor([0.6931, 0.6931])
    """

    member_numbers = ("label_smoothing",)

    def __init__(
        self,
        reduction: Reduction = "mean",
        label_smoothing: float = 0.0,
        output: str = "logits",
        target: str = "target",
        ignore_index: int | None = None,
    ) -> None:
        super().__init__(reduction, output, target)
        probability(label_smoothing=label_smoothing)
        self.label_smoothing: float | torch.Tensor = label_smoothing
        self.ignore_index = ignore_index

    def forward(self, batch: Batch, outputs: Outputs) -> torch.Tensor:
        """Return the loss."""
        logits = require_key(outputs, self.output, "what the model returns")
        target = require_key(batch, self.target, "the batch")
        is_soft = target.dtype.is_floating_point
        has_classes = logits.ndim > 1
        if is_soft and not (has_classes and target.shape == logits.shape):
            soft = f", and class probabilities have the shape of the logits, {tuple(logits.shape)}"
            raise DataError(
                f"'{self.target}' is {target.dtype}; class indices are integers"
                + (soft if has_classes else "")
            )
        smoothing: Any = self.label_smoothing
        is_number = not isinstance(smoothing, torch.Tensor)
        ignored = None if is_soft else self.ignore_index
        try:
            losses = functional.cross_entropy(
                logits,
                target.to(logits.dtype) if is_soft else target.long(),
                reduction=self.reduction if ignored is None else "none",
                label_smoothing=smoothing if is_number else 0.0,
                # By default torch ignores samples of label -100; here none is ignored unasked.
                ignore_index=NO_LABEL if ignored is None else ignored,
            )
        except IndexError:
            # Checked only now: a check at every step would cost another pass over the labels.
            classes = logits.shape[1]
            wrong = (target < 0) | (target >= classes)
            if ignored is not None:
                wrong &= target != ignored
            if wrong.any():
                raise _wrong_labels(wrong, batch, self.target, f"0 to {classes - 1}") from None
            raise
        if not is_number:  # that of one of several runs that are trained as one: torch takes none
            uniform = -logits.log_softmax(dim=1).mean(dim=1)
            if ignored is not None:
                uniform = uniform * (target != ignored)
            spread = uniform if losses.ndim else uniform.mean()
            smoothed: torch.Tensor = (1 - smoothing) * losses + smoothing * spread
            losses = smoothed
        if ignored is not None and self.reduction == "mean":
            counted: torch.Tensor = target != ignored
            return losses.sum() / counted.sum().clamp(min=1)  # torch's mean of none is nan
        return _per_sample(losses)


class BinaryCrossEntropy(_Loss):
    """Cross entropy for binary tasks.

    Args:
        reduction: ``mean``, or ``none`` for one value per sample, shape (batch,).
        output: name of the logits of class 1, shape (batch,).
        target: name of the labels, from 0 to 1, shape (batch,).

    Raises:
        ArgumentError: for another reduction.
        DataError: if the shapes differ, or, on the CPU, for a label that is not from 0 to 1, with
            the ``idx`` of its samples.

    >>> batch = {"target": torch.tensor([0.0, 1.0])}
    >>> BinaryCrossEntropy()(batch, {"logits": torch.zeros(2)})
    tensor(0.6931)
    """

    checks_labels = True
    """False where several runs are trained as one, which checks the labels of all at once."""

    def check_labels(self, batch: Batch) -> None:
        """Raises DataError, on the CPU, for a label that is not from 0 to 1."""
        target = require_key(batch, self.target, "the batch")
        # torch accepts any label, and the loss of labels 1 and 2 has no lower bound. The check
        # takes microseconds on the CPU, but would synchronize a GPU.
        if target.device.type == "cpu" and (wrong := (target < 0) | (target > 1)).any():
            raise _wrong_labels(wrong, batch, self.target, "0 to 1")

    def forward(self, batch: Batch, outputs: Outputs) -> torch.Tensor:
        """Return the loss."""
        logits, target = _checked_pair(batch, outputs, self.output, self.target)
        if self.checks_labels:
            self.check_labels(batch)
        return _per_sample(
            functional.binary_cross_entropy_with_logits(logits, target, reduction=self.reduction)
        )


class MeanSquaredError(_Loss):
    """Squared error for regression.

    Args:
        reduction: ``mean``, or ``none`` for one value per sample, shape (batch,), the mean over its
            outputs.
        output: name of the predictions, shape (batch,) or (batch, outputs).
        target: name of the targets, of the same shape.

    Raises:
        ArgumentError: for another reduction.
        DataError: if the shapes differ.

    >>> batch = {"target": torch.tensor([[1.0, 2.0], [3.0, 4.0]])}
    >>> MeanSquaredError(reduction="none")(batch, {"prediction": torch.zeros(2, 2)})
    tensor([ 2.5000, 12.5000])
    """

    def __init__(
        self, reduction: Reduction = "mean", output: str = "prediction", target: str = "target"
    ) -> None:
        super().__init__(reduction, output, target)

    def forward(self, batch: Batch, outputs: Outputs) -> torch.Tensor:
        """Return the loss."""
        prediction, target = _checked_pair(batch, outputs, self.output, self.target)
        return _per_sample(functional.mse_loss(prediction, target, reduction=self.reduction))


def _per_sample(losses: torch.Tensor) -> torch.Tensor:
    """The mean over what else a sample has, such as its outputs."""
    return losses.flatten(1).mean(dim=1) if losses.ndim > 1 else losses


def _checked_pair(
    batch: Batch, outputs: Outputs, output: str, target: str
) -> tuple[torch.Tensor, torch.Tensor]:
    """Output and target, the latter converted to the dtype of the former.

    Raises DataError if their shapes differ: torch would broadcast (batch,) and (batch, 1) to
    (batch, batch).
    """
    predicted = require_key(outputs, output, "what the model returns")
    expected = require_key(batch, target, "the batch")
    if predicted.shape != expected.shape:
        raise DataError(
            f"'{output}' has shape {tuple(predicted.shape)}, "
            f"but '{target}' has {tuple(expected.shape)}"
        )
    return predicted, expected.to(predicted.dtype)


def _wrong_labels(wrong: torch.Tensor, batch: Batch, key: str, allowed: str) -> DataError:
    positions: list[int] = wrong.nonzero().flatten().tolist()
    labels, idx = batch[key].tolist(), batch.get("idx", range(len(wrong)))
    named = (f"{labels[position]} at idx {_as_python(idx[position])}" for position in positions)
    return DataError(f"'{key}' has labels other than {allowed}: {shorten(named, MAX_SHOWN)}")


def _as_python(value: Any) -> Any:
    return value.item() if isinstance(value, torch.Tensor) else value
