"""Mixup augmentation."""

from __future__ import annotations

import torch
from torch.distributions import Beta
from torch.nn.functional import one_hot

from legoloop.core.arguments import above_zero, at_least, require_key
from legoloop.core.protocols import Batch
from legoloop.zoo.inputs import as_float


class Mixup:
    """Batch transform that mixes each sample, and its target, with another sample of the batch.

    The weight of the other sample is one number per batch, drawn from Beta(alpha, alpha) and
    folded to at most a half, so that ``target`` and ``idx`` are those of the sample with the larger
    weight. The loss reads ``mixed_target``: shape (batch, num_outputs) for a multiclass task, else
    the shape of ``target``. It draws from torch's global generator.

    Args:
        task: of the data set: ``multiclass``, ``binary`` or ``regression``.
        num_outputs: of the data set.
        input_key: column with the inputs, uint8 or float.
        alpha: the smaller, the closer the mixtures are to one of the two samples.
        target: column with the targets, shape (batch,).
        mixed_target: name of the new column.

    Raises:
        ArgumentError: if ``alpha`` is not above 0.
        DataError: if the batch has no such column.

    >>> _ = torch.manual_seed(0)
    >>> mixup = Mixup(task="multiclass", num_outputs=2, input_key="x", alpha=1.0)
    >>> mixed = mixup({"x": torch.tensor([[0.0], [1.0]]), "target": torch.tensor([0, 1])})
    >>> mixed["target"], mixed["mixed_target"]
    (tensor([0, 1]), tensor([[0.8638, 0.1362],
            [0.1362, 0.8638]]))
    """

    def __init__(
        self,
        task: str,
        num_outputs: int,
        input_key: str,
        alpha: float = 0.2,
        target: str = "target",
        mixed_target: str = "mixed_target",
    ) -> None:
        at_least(1, num_outputs=num_outputs)
        above_zero(alpha=alpha)
        self.classes = num_outputs if task == "multiclass" else None
        self.input_key = input_key
        self.alpha = alpha
        self.target = target
        self.mixed_target = mixed_target

    def __call__(self, batch: Batch) -> Batch:
        """Return the mixed batch."""
        inputs = as_float(require_key(batch, self.input_key, "the batch"), torch.float32)
        targets = require_key(batch, self.target, "the batch")
        if self.classes is not None:
            targets = one_hot(targets.long(), self.classes)
        weight = min(sample := Beta(self.alpha, self.alpha).sample().item(), 1 - sample)
        other = torch.randperm(len(inputs))
        return {
            **batch,
            self.input_key: inputs.lerp(inputs[other], weight),
            self.mixed_target: targets.float().lerp(targets[other].float(), weight),
        }
