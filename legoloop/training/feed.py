"""From a batch to what the model makes of it."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from legoloop.core.contracts import Batch, Outputs


class Feed:
    """Moves a batch to the device and calls the model with it.

    ``model(batch) -> outputs``, both dicts; the model is moved to the device here.

    >>> class Double(nn.Module):
    ...     def forward(self, batch): return {"y": batch["x"] * 2}
    >>> feed = Feed(Double(), "cpu")
    >>> batch, outputs = feed({"x": torch.tensor([1, 2])})
    >>> outputs["y"]
    tensor([2, 4])
    """

    def __init__(self, model: nn.Module, device: str | torch.device) -> None:
        self.device = torch.device(device)
        self.model = model.to(self.device)

    def __call__(self, batch: Batch) -> tuple[Batch, Outputs]:
        """The batch on the device, and the outputs."""
        on_device = {key: self._moved(value) for key, value in batch.items()}
        return on_device, self.model(on_device)

    def _moved(self, value: Any) -> Any:
        if isinstance(value, torch.Tensor) and value.device != self.device:
            return value.to(self.device, non_blocking=True)
        return value
