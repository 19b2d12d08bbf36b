"""Asynchronous device-to-host copy of a scalar."""

from __future__ import annotations

from typing import Any

import torch


class AsyncScalar:
    """Copies a scalar to the host in the background; reading it waits for that copy alone.

    >>> scalar = AsyncScalar()
    >>> scalar.start_copy(torch.tensor(0.5))
    >>> scalar.get()
    0.5
    """

    def __init__(self) -> None:
        self._host: torch.Tensor | None = None
        self._pinned: torch.Tensor | None = None
        self._copied: Any = None

    def start_copy(self, scalar: torch.Tensor) -> None:
        """Start to copy a scalar tensor; one on the CPU is read where it is."""
        self._host = scalar.detach()
        if not scalar.is_cpu:
            self._host = self._start_copy_to_pinned(self._host)

    def get(self) -> float:
        """The value that was copied last; each copy can be read once."""
        host, self._host = self._host, None
        assert host is not None, "start_copy() comes first"
        if host is self._pinned:
            self._copied.synchronize()
        value: float = host.item()
        return value

    def _start_copy_to_pinned(self, scalar: torch.Tensor) -> torch.Tensor:
        """Only a copy into pinned memory goes on in the background."""
        if self._pinned is None:
            dtype = torch.promote_types(scalar.dtype, torch.float32)
            self._pinned = torch.empty((), dtype=dtype, pin_memory=True)
            self._copied = torch.cuda.Event()  # type: ignore[no-untyped-call]
        self._pinned.copy_(scalar, non_blocking=True)
        self._copied.record(torch.cuda.current_stream(scalar.device))
        return self._pinned
