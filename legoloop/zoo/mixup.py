"""Mixtures of two samples, to train on."""

from __future__ import annotations

import torch
from torch.distributions import Beta
from torch.nn.functional import one_hot

from legoloop.core.arguments import above_zero, at_least, require_key
from legoloop.core.protocols import Batch
from legoloop.zoo.inputs import as_float


class Mixup:
    """Mixes each sample of a batch with another of it, and their targets alike.

    A batch transform. The share of the other sample is below a half, one number a batch, drawn
    from Beta(alpha, alpha): the smaller ``alpha``, the purer. ``target`` and ``idx`` stay those of
    the sample that has the larger share; the loss reads ``mixed_target``: (batch, num_outputs) for
    a multiclass task, else numbers of the shape of ``target``.

    ``task``, ``num_outputs`` and ``input_key`` are what the data set tells. Draws from torch's
    global generator. Raises ArgumentError for an ``alpha`` that is not above 0.

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
        """The batch of mixtures."""
        inputs = as_float(require_key(batch, self.input_key, "the batch"), torch.float32)
        targets = require_key(batch, self.target, "the batch")
        if self.classes is not None:
            targets = one_hot(targets.long(), self.classes)
        share = min(drawn := Beta(self.alpha, self.alpha).sample().item(), 1 - drawn)
        other = torch.randperm(len(inputs))
        return {
            **batch,
            self.input_key: inputs.lerp(inputs[other], share),
            self.mixed_target: targets.float().lerp(targets[other].float(), share),
        }
