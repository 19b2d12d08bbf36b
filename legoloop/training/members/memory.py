"""How much memory a member takes, and how much there is."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

import torch

from legoloop.core.rng import preserved_rng
from legoloop.loop.host import TrainingHost
from legoloop.training.members.row_steps import MOMENTS
from legoloop.training.members.support import descent_of

SHARE = 0.8
"""Of the free memory, what members may take."""
MEMORY = Path("/proc/meminfo")


def bytes_of_a_member(host: TrainingHost) -> int:
    """An estimate of the bytes that a member takes while it trains.

    Its weights, gradients and moments, each in its row and in tensors of its own, its buffers, and
    what a forward pass keeps for the backward pass.
    """
    descent: Any = host.plan.plugins[str(descent_of(host))]
    driver: Any = host.plan.plugins[host.plan.driver]
    stream = driver.train_iterator
    batch_size = getattr(getattr(stream, "config", None), "batch_size", None)
    weights = sum(p.nbytes for p in descent.model.parameters())
    buffers = sum(b.nbytes for b in descent.model.buffers())
    kept = 2 + len(MOMENTS[type(descent.opt)])
    batch = next(iter(stream.peek(batch_size)))
    return int(2 * (kept * weights + 2 * buffers)) + _activations(descent, batch)


def free_bytes(device: torch.device) -> int | None:
    """The bytes that members may take on a device; None: it is not known."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0] * SHARE)
    if device.type == "cpu" and MEMORY.exists():
        for line in MEMORY.read_text().splitlines():
            name, _, amount = line.partition(":")
            if name == "MemAvailable":
                return int(int(amount.split()[0]) * 1024 * SHARE)
    return None


def shown_bytes(number: int) -> str:
    """
    >>> shown_bytes(2_500_000), shown_bytes(900)
    ('2.5 MB', '900 B')
    """
    for unit, size in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if number >= size:
            return f"{number / size:.3g} {unit}"
    return f"{number} B"


def _activations(descent: Any, batch: Any) -> int:
    """The bytes that one forward pass of a copy keeps, and its batch and outputs."""
    feed, loss = deepcopy((descent.feed, descent.loss))
    own = {p.untyped_storage().data_ptr() for p in feed.model.parameters()}
    kept: dict[int, int] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    feed.model.train()
    with preserved_rng(), torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        moved, outputs = feed(batch)
        loss(moved, outputs)
    columns = (*moved.values(), *outputs.values())
    given = sum(each.nbytes for each in columns if isinstance(each, torch.Tensor))
    return sum(kept.values()) + given
