"""Losses for sequences of tokens."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from legoloop.core.arguments import require_key
from legoloop.core.batch_size import counted_tokens
from legoloop.core.protocols import Batch, Outputs


class TokenCrossEntropy(nn.Module):
    """Cross entropy per token: a scalar, the mean over the tokens where ``mask`` is True.

    With ``micro_batch_size`` the descent needs a ``TokenBatchDesc`` that counts the same tokens.

    Args:
        output: name of the logits, shape (batch, length, classes).
        target: name of the classes, shape (batch, length); ignored where ``mask`` is False.
        mask: name of the mask, shape (batch, length), bool; None: there is none.
        ignore_index: tokens of this class do not count either, such as -100; None: all classes do.

    >>> batch = {"target": torch.tensor([[0, 1]]), "mask": torch.tensor([[True, False]])}
    >>> TokenCrossEntropy()(batch, {"logits": torch.zeros(1, 2, 4)})
    tensor(1.3863)
    """

    def __init__(
        self,
        output: str = "logits",
        target: str = "target",
        mask: str | None = "mask",
        ignore_index: int | None = None,
    ) -> None:
        super().__init__()
        self.output = output
        self.target = target
        self.mask = mask
        self.ignore_index = ignore_index

    def forward(self, batch: Batch, outputs: Outputs) -> torch.Tensor:
        """Return the loss."""
        logits = require_key(outputs, self.output, "what the model returns")
        target = require_key(batch, self.target, "the batch").long()
        mask = counted_tokens(batch, target, self.mask, self.ignore_index)
        target = target.where(mask, 0)
        losses = functional.cross_entropy(logits.transpose(1, 2), target, reduction="none")
        mean: torch.Tensor = losses.where(mask, 0).sum() / mask.sum()
        return mean
