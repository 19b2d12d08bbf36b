"""How steep the loss was."""

from __future__ import annotations

import torch
from torch.nn.utils import get_total_norm


class GradientNorm:
    """Reports the norm of the gradient, its mean over the steps of an epoch."""

    def __init__(self, model):
        self.model = model
        self.norms = []

    def epoch_start(self):
        self.norms = []

    def batch_end(self, step):
        self.norms.append(get_total_norm(weight.grad for weight in self.model.parameters()))

    def scalars(self):
        if not self.norms:
            return {}
        return {"gradient_norm": torch.stack(self.norms).mean().item()}
