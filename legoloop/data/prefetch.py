"""Batches on a GPU, each copied there while the step before it runs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

from legoloop.core.protocols import Batch


class DevicePrefetcher(Iterator[Batch]):
    """Hands over batches on a GPU, and has copied the next one when it is asked for.

    The copy runs on a stream of its own, at the side of the step that is under way, if the batch
    is in pinned memory. One batch is fetched ahead, never two. What goes wrong while it is fetched
    is raised when that batch is asked for, not before. Without a GPU it is of no use::

        batches = DevicePrefetcher(map(pinned, loop), torch.device("cuda"))
    """

    def __init__(self, batches: Iterator[Batch], device: torch.device) -> None:
        self._batches = batches
        self._device = device
        self._side = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self._ahead: Batch | None = None
        self._failed: BaseException | None = None
        self._begun = False

    def __next__(self) -> Batch:
        if not self._begun:
            self._begun = True
            self._fetch()
        if self._failed is not None:
            raise self._failed
        batch = self._taken_over()
        self._fetch()
        return batch

    def _fetch(self) -> None:
        try:
            batch = next(self._batches)
            with torch.cuda.stream(self._side):
                self._ahead = {key: self._copied(value) for key, value in batch.items()}
        except BaseException as error:
            self._failed = error

    def _copied(self, value: Any) -> Any:
        if isinstance(value, torch.Tensor):
            return value.to(self._device, non_blocking=True)
        return value

    def _taken_over(self) -> Batch:
        """The batch ahead, once the stream that computes waits for its copy."""
        batch, self._ahead = self._ahead, None
        assert batch is not None
        computes = torch.cuda.current_stream(self._device)
        computes.wait_stream(self._side)
        for value in batch.values():
            if isinstance(value, torch.Tensor):
                value.record_stream(computes)  # else its memory could be reused for the next copy
        return batch
