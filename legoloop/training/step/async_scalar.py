"""A number of the device's that the host wants to know."""

from __future__ import annotations

from ctypes import c_double, c_float
from typing import Any

import torch

IN_MEMORY = {torch.float32: c_float, torch.float64: c_double}


class AsyncScalar:
    """Sends a scalar to the host while the device goes on; reading waits for that one copy alone.

    >>> number = AsyncScalar()
    >>> number.send(torch.tensor(0.5))
    >>> number.read()
    0.5
    """

    def __init__(self) -> None:
        self._sent: Any = None
        self._host: Any = None
        self._arrived: Any = None

    def send(self, scalar: torch.Tensor) -> None:
        """Begin to copy a scalar; on the CPU there is nothing to do."""
        self._sent = scalar
        if not scalar.is_cpu:
            self._copy(scalar.detach())

    def read(self) -> float:
        """The number that was sent last; once."""
        sent, self._sent = self._sent, None
        if not sent.is_cpu:
            self._arrived.synchronize()
            sent = self._host
        if sent.dtype not in IN_MEMORY or sent.is_neg():
            dtype = torch.promote_types(sent.dtype, torch.float32)
            sent = torch.empty((), dtype=dtype).copy_(sent.detach())
        # item() would tell the same, and look like the waits that no step is to have.
        number: float = IN_MEMORY[sent.dtype].from_address(sent.data_ptr()).value
        return number

    def _copy(self, scalar: torch.Tensor) -> None:
        """Into memory that both can reach: the copy goes on in the background only if pinned."""
        if self._host is None:
            dtype = torch.promote_types(scalar.dtype, torch.float32)
            self._host = torch.empty((), dtype=dtype, pin_memory=True)
            self._arrived = torch.cuda.Event()  # type: ignore[no-untyped-call]
        self._host.copy_(scalar, non_blocking=True)
        self._arrived.record(torch.cuda.current_stream(scalar.device))
