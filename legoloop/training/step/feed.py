"""From a batch to what the model makes of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from legoloop.core.arguments import one_of
from legoloop.core.errors import ArgumentError
from legoloop.core.protocols import Batch, Outputs
from legoloop.training.step.precision import PRECISIONS, Precision, number_type


class Feed:
    """Moves a batch to the device and calls the model with it.

    ``model(batch) -> outputs``, both dicts; the model is moved to the device here.

    ``precision`` is what the model computes in: ``fp32`` leaves it alone; ``bf16`` and ``fp16``
    let torch take 16 bits for the operations that bear it, weights stay as they are and outputs
    come back as float32; ``auto`` is bf16 on a device that has it in hardware, else fp32. Gradients
    of fp16 need a scaler (``GradientDescent``).

    ``channels_last`` keeps the channels of images side by side in memory, which convolutions are
    faster with; ``auto`` does so for a model that has convolutions of two dimensions.

    Raises ArgumentError for another precision or layout.

    >>> class Double(nn.Module):
    ...     def forward(self, batch): return {"y": batch["x"] * 2}
    >>> feed = Feed(Double(), "cpu")
    >>> batch, outputs = feed({"x": torch.tensor([1, 2])})
    >>> outputs["y"]
    tensor([2, 4])
    """

    def __init__(
        self,
        model: nn.Module,
        device: str | torch.device,
        precision: Precision = "fp32",
        channels_last: bool | str = False,
    ) -> None:
        one_of(PRECISIONS, precision=precision)
        if channels_last not in (True, False, "auto"):
            raise ArgumentError(
                f"is {channels_last!r}", argument="channels_last", remedy="give true, false or auto"
            )
        self.device = _numbered(torch.device(device))
        self.model = model.to(self.device)
        self.dtype = number_type(precision, self.device)
        self.channels_last = bool(channels_last) and (
            channels_last is True or any(isinstance(part, nn.Conv2d) for part in model.modules())
        )
        if self.channels_last:
            self.model = self.model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def __call__(self, batch: Batch) -> tuple[Batch, Outputs]:
        """The batch on the device, and the outputs."""
        batch = self.moved(batch)
        return batch, self.outputs(batch)

    def moved(self, batch: Batch) -> Batch:
        """The batch on the device."""
        device = self.device
        return {
            key: value.to(device, non_blocking=True)
            if isinstance(value, torch.Tensor) and value.device != device
            else value
            for key, value in batch.items()
        }

    def outputs(self, batch: Batch) -> Outputs:
        """What the model makes of a batch on the device."""
        if self.dtype is None:
            outputs: Outputs = self.model(batch)
            return outputs
        with torch.autocast(self.device.type, self.dtype):
            return _widened(self.model(batch))


def _numbered(device: torch.device) -> torch.device:
    """As tensors name it: ``cuda:0``, not ``cuda``."""
    if device.type == "cuda" and device.index is None:
        return torch.device("cuda", torch.cuda.current_device())
    return device


def _widened(outputs: Mapping[str, Any]) -> dict[str, Any]:
    """Losses and metrics are computed in float32 whatever the model computed in."""
    return {
        key: value.float()
        if isinstance(value, torch.Tensor) and value.dtype in (torch.bfloat16, torch.float16)
        else value
        for key, value in outputs.items()
    }
