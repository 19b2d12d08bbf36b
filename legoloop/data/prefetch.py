"""Copying batches to the GPU ahead of time."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from legoloop.core.nested import moved_to, named_tensors
from legoloop.core.protocols import Batch


class DevicePrefetcher(Iterator[Batch]):
    """Iterator over batches on a GPU that copies the next one while the current step runs.

    The copy runs on a CUDA stream of its own, asynchronously if the batch is in pinned memory. One
    batch is prefetched, never two. An error while fetching is raised when that batch is requested.
    It needs a GPU::

        batches = DevicePrefetcher(map(pinned, stream), torch.device("cuda"))
    """

    def __init__(self, batches: Iterator[Batch], device: torch.device) -> None:
        self._batches = batches
        self._device = device
        self._copy_stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self._next: Batch | None = None
        self._error: BaseException | None = None
        self._started = False

    def __next__(self) -> Batch:
        if not self._started:
            self._started = True
            self._fetch()
        if self._error is not None:
            raise self._error
        batch = self._take_next()
        self._fetch()
        return batch

    def _fetch(self) -> None:
        try:
            batch = next(self._batches)
            with torch.cuda.stream(self._copy_stream):
                self._next = moved_to(self._device, batch)
        except BaseException as error:
            self._error = error

    def _take_next(self) -> Batch:
        """The prefetched batch; the computing stream waits for its copy."""
        batch, self._next = self._next, None
        assert batch is not None
        compute_stream = torch.cuda.current_stream(self._device)
        compute_stream.wait_stream(self._copy_stream)
        for _, tensor in named_tensors(batch):
            if tensor.is_cuda:  # else its memory could be reused for the next copy
                tensor.record_stream(compute_stream)
        return batch
