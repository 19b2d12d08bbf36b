"""The last layer of every model, and what it says by task."""

from __future__ import annotations

import torch
from torch import nn

from legoloop.core.arguments import at_least, one_of
from legoloop.core.errors import ArgumentError
from legoloop.core.protocols import Outputs

TASKS = ("multiclass", "binary", "regression")


def outputs_for(task: str, raw: torch.Tensor) -> Outputs:
    """Raw outputs (batch, outputs), named and shaped as losses and metrics want them.

    multiclass: ``logits`` and ``probas``, (batch, classes). binary: the same, (batch,), for class
    1. regression: ``prediction``, (batch,) for one output, else (batch, outputs).

    >>> outputs_for("binary", torch.tensor([[0.0], [2.0]]))["logits"]
    tensor([0., 2.])
    """
    if task == "multiclass":
        return {"logits": raw, "probas": raw.softmax(dim=1)}
    if task == "binary":
        logits = raw.squeeze(1)
        return {"logits": logits, "probas": logits.sigmoid()}
    return {"prediction": raw.squeeze(1) if raw.shape[1] == 1 else raw}


class Head(nn.Module):
    """A linear layer on features (batch, features), and the outputs of its task.

    Raises ArgumentError for an unknown task, or a number of outputs that the task cannot have.

    >>> sorted(Head(4, num_outputs=3, task="multiclass")(torch.zeros(2, 4)))
    ['logits', 'probas']
    """

    def __init__(self, num_features: int, num_outputs: int, task: str) -> None:
        super().__init__()
        one_of(TASKS, task=task)
        at_least(2 if task == "multiclass" else 1, num_outputs=num_outputs)
        if task == "binary" and num_outputs != 1:
            raise ArgumentError(f"num_outputs is {num_outputs}; a binary task has 1")
        self.task = task
        self.linear = nn.Linear(num_features, num_outputs)

    @property
    def dtype(self) -> torch.dtype:
        """That of the weights, and so of what the model takes."""
        return self.linear.weight.dtype

    def forward(self, features: torch.Tensor) -> Outputs:
        """The outputs by name."""
        return outputs_for(self.task, self.linear(features))
