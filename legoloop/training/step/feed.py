"""Running a model on a batch."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from legoloop.core.arguments import one_of
from legoloop.core.batch_size import with_columns
from legoloop.core.errors import ArgumentError, DataError
from legoloop.core.nested import map_nested, moved_to
from legoloop.core.protocols import Batch, Outputs
from legoloop.training.step.precision import PRECISIONS, Precision, autocast_dtype


class Feed:
    """Moves a batch to the device and calls the model with it.

    Nested columns move too, and so does everything else in the batch that has a method ``to``.

    Args:
        model: ``model(batch) -> outputs``, both dicts; it is moved to the device.
        device: the device.
        precision: ``fp32``; ``amp_bf16`` or ``amp_fp16``: torch.autocast with that dtype, while
            weights stay as they are and outputs are converted to float32; ``auto``: ``amp_bf16`` on
            a device that supports it in hardware, else ``fp32``. ``amp_fp16`` needs a gradient
            scaler (``GradientDescent``).
        channels_last: whether images are stored in channels-last order, which makes convolutions
            faster and sums in another order: true, false, or ``auto``: for a model with 2-D
            convolutions.

    Raises ArgumentError for another precision or layout, and DataError for a model that returns
    something other than a dict.

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
        channels_last: bool | str = "auto",
    ) -> None:
        one_of(PRECISIONS, precision=precision)
        if channels_last not in (True, False, "auto"):
            raise ArgumentError(
                f"is {channels_last!r}", argument="channels_last", remedy="give true, false or auto"
            )
        self.device = _with_index(torch.device(device))
        self.model = model.to(self.device)
        self.dtype = autocast_dtype(precision, self.device)
        self.channels_last = bool(channels_last) and (
            channels_last is True
            or any(isinstance(module, nn.Conv2d) for module in model.modules())
        )
        if self.channels_last:
            _store_channels_last(self.model)

    def __call__(self, batch: Batch) -> tuple[Batch, Outputs]:
        """The batch on the device, and the outputs."""
        batch = self.moved(batch)
        return batch, self.outputs(batch)

    def moved(self, batch: Batch) -> Batch:
        """The batch on the device."""
        device = self.device
        columns = {
            key: value
            if isinstance(value, torch.Tensor) and value.device == device
            else moved_to(device, value)
            for key, value in batch.items()
        }
        return with_columns(batch, columns)

    def outputs(self, batch: Batch) -> Outputs:
        """The outputs of the model for a batch on the device."""
        if self.dtype is None:
            return self._named(self.model(batch))
        with torch.autocast(self.device.type, self.dtype):
            outputs = self._named(self.model(batch))
            return {key: map_nested(_to_float32, value) for key, value in outputs.items()}

    def _named(self, outputs: Any) -> Outputs:
        if not isinstance(outputs, Mapping):
            raise DataError(
                f"the model, a {type(self.model).__name__}, returned a {type(outputs).__name__}; "
                "return a dict of named outputs, such as {'logits': logits}, or name them with "
                "legoloop.adapted_model"
            )
        return outputs  # type: ignore[return-value]


def _store_channels_last(model: nn.Module) -> None:
    """As ``model.to(memory_format=…)``, which stops at weights of 3-D and of lazy modules."""
    for tensor in chain(model.parameters(), model.buffers()):
        if not is_lazy(tensor) and tensor.dim() == 4:
            tensor.data = tensor.data.to(memory_format=torch.channels_last)


def _with_index(device: torch.device) -> torch.device:
    """``cuda:0`` for ``cuda``, as tensors name their device."""
    if device.type == "cuda" and device.index is None:
        return torch.device("cuda", torch.cuda.current_device())
    return device


def _to_float32(output: Any) -> Any:
    """Losses and metrics are computed in float32."""
    if isinstance(output, torch.Tensor) and output.dtype in (torch.bfloat16, torch.float16):
        return output.float()
    return output
