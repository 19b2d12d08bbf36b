"""Losses of sequences: the mean over the tokens that count."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from legoloop.core.arguments import require_key
from legoloop.core.protocols import Batch, Outputs


class TokenCrossEntropy(nn.Module):
    """Cross entropy of ``logits`` (batch, length, classes) and ``target`` (batch, length).

    The mean, a scalar, over the tokens where ``mask``, (batch, length), is True; what stands
    elsewhere is not looked at. A descent that takes the batch in parts wants a ``TokenBatchDesc``.

    >>> batch = {"target": torch.tensor([[0, 1]]), "mask": torch.tensor([[True, False]])}
    >>> TokenCrossEntropy()(batch, {"logits": torch.zeros(1, 2, 4)})
    tensor(1.3863)
    """

    def __init__(self, output: str = "logits", target: str = "target", mask: str = "mask") -> None:
        super().__init__()
        self.output = output
        self.target = target
        self.mask = mask

    def forward(self, batch: Batch, outputs: Outputs) -> torch.Tensor:
        """The loss."""
        logits = require_key(outputs, self.output, "what the model returns")
        mask = require_key(batch, self.mask, "the batch")
        target = require_key(batch, self.target, "the batch").long().where(mask, 0)
        losses = functional.cross_entropy(logits.transpose(1, 2), target, reduction="none")
        mean: torch.Tensor = losses.where(mask, 0).sum() / mask.sum()
        return mean
