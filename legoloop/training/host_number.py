"""A number of the device's that the host wants to know."""

from __future__ import annotations

from typing import Any

import torch


class HostNumber:
    """Sends a scalar to the host while the device goes on; reading waits for that one copy alone.

    >>> number = HostNumber()
    >>> number.send(torch.tensor(0.5))
    >>> number.read()
    0.5
    """

    def __init__(self) -> None:
        self._host: Any = None
        self._view: Any = None
        self._arrived: Any = None

    def send(self, scalar: torch.Tensor) -> None:
        """Begin to copy a scalar that needs no gradient."""
        if self._host is None:
            self._prepare(scalar)
        if self._arrived is None:
            self._host.copy_(scalar)
        else:
            self._host.copy_(scalar, non_blocking=True)
            self._arrived.record(torch.cuda.current_stream(scalar.device))

    def read(self) -> float:
        """The number that was sent last."""
        if self._arrived is not None:
            self._arrived.synchronize()
        number: float = self._view.item()
        return number

    def _prepare(self, scalar: torch.Tensor) -> None:
        """Memory that both can reach: the copy goes on in the background only if it is pinned."""
        dtype = torch.promote_types(scalar.dtype, torch.float32)
        self._host = torch.empty((), dtype=dtype, pin_memory=scalar.is_cuda)
        self._view = self._host.numpy()
        if scalar.is_cuda:
            self._arrived = torch.cuda.Event()  # type: ignore[no-untyped-call]
