"""The output layer of the models, and its outputs by task."""

from __future__ import annotations

import torch
from torch import nn

from legoloop.core.arguments import at_least, one_of
from legoloop.core.errors import ArgumentError
from legoloop.core.protocols import Outputs

TASKS = ("multiclass", "binary", "regression")


def outputs_for(task: str, raw: torch.Tensor) -> Outputs:
    """The raw outputs with the names and shapes that losses and metrics expect.

    Args:
        task: ``multiclass`` gives ``logits`` and ``probas``, shape (batch, classes); ``binary`` the
            same for class 1, shape (batch,); ``regression`` gives ``prediction``, shape (batch,)
            for one output, else (batch, outputs).
        raw: output of the last layer, shape (batch, outputs).

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
    """A linear layer on features, shape (batch, features), with the outputs of the task.

    Args:
        num_features: size of the input.
        num_outputs: classes of a multiclass task, 1 for a binary one, values for regression.
        task: ``multiclass``, ``binary`` or ``regression``.

    Raises:
        ArgumentError: for an unknown task, or a ``num_outputs`` that it cannot have.

    >>> sorted(Head(4, num_outputs=3, task="multiclass")(torch.zeros(2, 4)))
    ['logits', 'probas']
    """

    def __init__(self, num_features: int, num_outputs: int, task: str) -> None:
        super().__init__()
        one_of(TASKS, task=task)
        at_least(2 if task == "multiclass" else 1, num_outputs=num_outputs)
        if task == "binary" and num_outputs != 1:
            raise ArgumentError(
                f"is {num_outputs}", argument="num_outputs", remedy="a binary task has 1 output"
            )
        self.task = task
        self.linear = nn.Linear(num_features, num_outputs)

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of the weights, to which inputs are converted."""
        return self.linear.weight.dtype

    def forward(self, features: torch.Tensor) -> Outputs:
        """Return the outputs by name."""
        return outputs_for(self.task, self.linear(features))
