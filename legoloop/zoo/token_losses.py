"""Losses for sequences of tokens."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from legoloop.core.arguments import require_key
from legoloop.core.protocols import Batch, Outputs


class TokenCrossEntropy(nn.Module):
    """Cross entropy per token: a scalar, the mean over the tokens where ``mask`` is True.

    With ``micro_batch_size`` the descent needs a ``TokenBatchDesc``.

    Args:
        output: name of the logits, shape (batch, length, classes).
        target: name of the classes, shape (batch, length); ignored where ``mask`` is False.
        mask: name of the mask, shape (batch, length), bool.

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
        """Return the loss."""
        logits = require_key(outputs, self.output, "what the model returns")
        mask = require_key(batch, self.mask, "the batch")
        target = require_key(batch, self.target, "the batch").long().where(mask, 0)
        losses = functional.cross_entropy(logits.transpose(1, 2), target, reduction="none")
        mean: torch.Tensor = losses.where(mask, 0).sum() / mask.sum()
        return mean
