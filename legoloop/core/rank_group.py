"""Several processes that train together, by ``torch.distributed``.

All that ranks tell each other goes through ``RankGroup.exchange``, a few numbers that say where
each rank is (how they travel: ``core/rank_exchange.py``): ranks that have come to different places
end with a message instead of waiting for each other. Gradients and shards are torch's own
collectives, over NCCL on GPUs.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from time import monotonic
from typing import Any, get_args

import torch
from torch import distributed, nn

from legoloop.core.errors import PluginError, UserError
from legoloop.core.interruption import Interrupted
from legoloop.core.rank_exchange import exchange_of
from legoloop.core.ranks import Point, Ranks
from legoloop.core.record_files import first_line

POINTS: tuple[Point, ...] = get_args(Point)
COLUMNS = ("point", "number", "signal", "clock")


class RankLost(UserError):
    """Another rank ended, or cannot be reached."""


class RankGroup(Ranks):
    """One of several processes that train one model together.

    Args:
        rank: the number of this process, from 0.
        size: how many there are.
        local_rank: its number among those of this machine; with GPUs, the number of its GPU.
        uses_gpus: whether each rank trains on a GPU of its own.
        store: what the ranks have met in already; None: they meet where the environment says.
        timeout: seconds after which a rank gives up waiting for another.

    The environment tells where rank 0 is (``MASTER_ADDR``, ``MASTER_PORT``), as torchrun sets it.
    """

    def __init__(
        self,
        rank: int,
        size: int,
        local_rank: int = 0,
        uses_gpus: bool = False,
        store: Any = None,
        timeout: float = 1800,
    ) -> None:
        super().__init__(rank, size)
        self.is_alone = False
        self.local_rank = local_rank
        self._noticed: BaseException | None = None
        self._clock = monotonic()
        limit = timedelta(seconds=timeout)
        if uses_gpus:
            torch.cuda.set_device(local_rank)
        backend = "nccl" if uses_gpus else "gloo"
        with _reporting_lost_ranks():
            distributed.init_process_group(
                backend,
                store=store,
                rank=rank,
                world_size=size,
                timeout=limit,
                device_id=torch.device("cuda", local_rank) if uses_gpus else None,
            )
            self._control: Any = distributed.new_group(backend="gloo", timeout=limit)
            self._exchange = exchange_of(self._control, rank, size, len(COLUMNS), timeout)
        self.exchange("start")

    def close(self) -> None:
        """Leave the group."""
        self._exchange.close()
        distributed.destroy_process_group()

    @property
    def is_interrupted(self) -> bool:
        return self._noticed is not None

    def notice(self, interruption: BaseException) -> None:
        self._noticed = interruption

    def agree_on_stop(self, stop_reason: str | None) -> str | None:
        stopping = self.exchange("commit", float(stop_reason is not None))
        if stop_reason is None and any(stopping):
            first = next(rank for rank, is_stopping in enumerate(stopping) if is_stopping)
            stop_reason = f"rank {first} asked to stop"
        return stop_reason

    def agree_on_saves(self, saves: int) -> int:
        return int(self.exchange("commit", saves)[0])

    def clock(self) -> float:
        """That of rank 0 at the last exchange."""
        return self._clock

    def exchange(self, point: Point, number: float = 0.0) -> list[float]:
        """Raises PluginError if the ranks are not at one point, RankLost if one does not answer."""
        return super().exchange(point, number)

    def start_exchange(self, point: Point, number: float = 0.0) -> Callable[[], list[float]]:
        signal = getattr(self._noticed, "number", 0)
        with _reporting_lost_ranks():
            self._exchange.send((POINTS.index(point), number, signal, monotonic()))
        return self._finish_exchange

    def _finish_exchange(self) -> list[float]:
        with _reporting_lost_ranks():
            rows = self._exchange.receive()
        points, numbers, signals, clocks = map(list, zip(*rows, strict=True))
        if len(set(points)) > 1:
            raise PluginError(_disagreement([POINTS[int(each)] for each in points]))
        self._clock = clocks[0]
        first = next(filter(None, signals), 0)
        if first and self.interruption is None:
            self.interruption = Interrupted(int(first))
        return numbers

    def gather(self, value: Any) -> list[Any]:
        packed = pickle.dumps(value)
        lengths = [int(length) for length in self.exchange("gather", len(packed))]
        own = torch.zeros(max(lengths), dtype=torch.uint8)
        own[: len(packed)] = torch.frombuffer(bytearray(packed), dtype=torch.uint8)
        received = [torch.empty_like(own) for _ in lengths]
        with _reporting_lost_ranks():
            distributed.all_gather(received, own, group=self._control)
        pairs = zip(received, lengths, strict=True)
        return [pickle.loads(each[:length].numpy().tobytes()) for each, length in pairs]

    def sync_buffers(self, model: nn.Module) -> None:
        buffers = [buffer for buffer in model.buffers() if buffer.numel()]
        self.exchange("buffers", len(buffers))
        with _reporting_lost_ranks(), torch.no_grad():
            for buffer in buffers:
                distributed.broadcast(buffer, 0)

    @contextmanager
    def whole_weights(self, model: nn.Module) -> Iterator[None]:
        sharded: list[Any] = [module for module in model.modules() if hasattr(module, "unshard")]
        for module in sharded:
            module.unshard()
            module.set_reshard_after_forward(False, recurse=False)
        try:
            yield
        finally:
            for module in sharded:
                module.set_reshard_after_forward(True, recurse=False)
                module.reshard()

    def check_replicas(self, weights: list[torch.Tensor]) -> None:
        digest = 0
        for weight in weights:
            digest = (digest * 31 + _sum_of_words(weight.detach())) % (1 << 52)
        found = self.exchange("replicas", digest)
        if len(set(found)) > 1:
            raise PluginError(
                "the ranks do not have the same weights any more: a plugin, or the optimizer, "
                "does something else on one of them than on the others"
            )


@contextmanager
def _reporting_lost_ranks() -> Iterator[None]:
    """What torch raises when another rank is gone."""
    try:
        yield
    except (RuntimeError, OSError) as error:
        raise RankLost(f"the connection to another rank is lost ({first_line(error)})") from error


def _sum_of_words(tensor: torch.Tensor) -> int:
    """The sum of the words that the tensor is in memory, without a copy of it."""
    if tensor.is_complex():
        tensor = torch.view_as_real(tensor)
    kinds = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
    words = tensor.contiguous().view(kinds[tensor.itemsize])
    return int(words.sum(dtype=torch.int64))


def _disagreement(points: list[Point]) -> str:
    places = {
        "start": "at the start",
        "size": "counting the size of a batch",
        "step": "in a step",
        "commit": "at the end of a stage, or saving",
        "gather": "evaluating",
        "buffers": "beginning an evaluation",
        "replicas": "taking the state of the weights",
        "end": "at the end",
    }
    shown = ", ".join(f"rank {rank} is {places[point]}" for rank, point in enumerate(points))
    return (
        f"the ranks have come apart: {shown}. A plugin decided differently on one of them: hooks "
        "must stop, save and evaluate by what is the same on all ranks"
    )
