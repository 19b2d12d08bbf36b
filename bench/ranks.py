"""What a step costs that several ranks share: ``python -m bench.ranks``.

Every trainer computes the same, to the bit: a batch that is ready is cut into equal shares, each
rank takes the mean of its share's losses, DistributedDataParallel takes the mean of the gradients,
and a fused Adam steps. Ranks are processes on this machine, forked, with one thread each, that talk
by gloo.

The efficiency of so many ranks is the time of a step of one process on the whole batch, by the time
of a step of the ranks, each on its share, times their number. It is 1 where ranks cost nothing.
"""

from __future__ import annotations

import argparse
import logging
import os
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from statistics import median
from typing import Any

import torch
from torch import distributed, nn
from torch.nn.functional import cross_entropy
from torch.nn.parallel import DistributedDataParallel

import legoloop as ll
from bench.mnist_by_hand import network
from bench.peers.in_legoloop import OfDicts
from bench.peers.in_legoloop import loss as loss_of_dicts
from bench.rounds import Found, installed, interleaved, table, times
from bench.task import CLASSES, Stream
from bench.task import weights as bytes_of
from legoloop.core.batch_size import RankShare, SizedBatch
from legoloop.core.rank_group import RankGroup
from legoloop.core.ranks import Ranks, train_with
from tests.ranks import on_ranks

RANKS = 2
BARE, HAND, OURS = "loop by hand", "DDP by hand", "legoloop"
Clock = Callable[[], float]


def _mlp(*widths: int) -> nn.Sequential:
    hidden = [
        layer
        for before, after in pairwise(widths[:-1])
        for layer in (nn.Linear(before, after), nn.ReLU())
    ]
    return nn.Sequential(nn.Flatten(), *hidden, nn.Linear(widths[-2], widths[-1]))


def _cnn() -> nn.Sequential:
    layers = network()
    for layer in layers:
        if isinstance(layer, nn.Dropout):
            layer.p = 0  # ranks draw different numbers
    return layers


@dataclass(frozen=True)
class Workload:
    """A model, and the size of its batches of images on all ranks."""

    make: Callable[[], nn.Sequential]
    image: tuple[int, ...]
    batch: int
    steps: int


WORKLOADS = {
    "MLP 64-64-10, batch 32": Workload(partial(_mlp, 64, 64, CLASSES), (8, 8), 32, 400),
    "MLP 784-256-10, batch 256": Workload(partial(_mlp, 784, 256, CLASSES), (28, 28), 256, 200),
    "CNN of MNIST, batch 256": Workload(_cnn, (28, 28), 256, 20),
}


class Work:
    """What a rank is given: its share of a batch, a model and its optimizer, always the same."""

    def __init__(self, load: Workload, ranks: Ranks, steps: int, clock: Clock) -> None:
        torch.manual_seed(0)
        self.ranks = ranks
        self.model = load.make()
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=1e-4, fused=True)
        draw = torch.Generator().manual_seed(0)
        x = torch.randn(load.batch, 1, *load.image, generator=draw)
        y = torch.randint(0, CLASSES, (load.batch,), generator=draw)
        rows = ranks.rows(load.batch, of=load.batch)
        self.whole = load.batch
        self.stream = Stream((x[rows], y[rows]), steps, steps // 10, clock)


Trains = Callable[[Work], None]


def loop_by_hand(work: Work) -> None:
    """Of one process."""
    _train_by_hand(work, work.model)


def ddp_by_hand(work: Work) -> None:
    distributed.init_process_group("gloo", rank=work.ranks.rank, world_size=work.ranks.size)
    _train_by_hand(work, DistributedDataParallel(work.model, gradient_as_bucket_view=True))
    distributed.destroy_process_group()


def _train_by_hand(work: Work, model: nn.Module) -> None:
    model.train()
    for x, y in work.stream:
        work.optimizer.zero_grad()
        loss = cross_entropy(model(x), y)
        loss.backward()
        work.optimizer.step()


class Shares:
    """The stream of a rank: the same ready share again and again."""

    supports_ranks = True

    def __init__(self, work: Work) -> None:
        x, y = work.stream.batch
        share = RankShare(work.whole, len(y), ("train", 0))
        columns = {"x": x, "target": y}
        is_shared = work.ranks.size > 1
        work.stream.batch = SizedBatch(columns, len(y), share if is_shared else None)
        self._batches = iter(work.stream)

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        return next(self._batches)


def legoloop(work: Work) -> None:
    """A process alone has no group."""
    ranks = work.ranks
    group = RankGroup(ranks.rank, ranks.size) if ranks.size > 1 else ranks
    with train_with(group):
        model, counter = OfDicts(*work.model), ll.Counter()
        descent = ll.GradientDescent(
            work.optimizer, model, ll.Feed(model, "cpu", channels_last=False), loss_of_dicts
        )
        epoch = ll.SimpleEpoch(Shares(work), epoch_size=work.stream.length * work.whole)
        ll.TrainingHost([counter, epoch, descent, ll.LastEpoch(counter, 1)], seed=0).run()
    if isinstance(group, RankGroup):
        group.close()


def with_fabric(work: Work) -> None:
    from lightning.fabric import Fabric

    logging.getLogger("lightning.fabric").setLevel(logging.ERROR)
    fabric = Fabric(accelerator="cpu", devices=work.ranks.size, strategy="ddp")
    fabric.launch()
    model, optimizer = fabric.setup(work.model, work.optimizer)
    model.train()
    for x, y in work.stream:
        optimizer.zero_grad()
        loss = cross_entropy(model(x), y)
        fabric.backward(loss)
        optimizer.step()


def with_accelerate(work: Work) -> None:
    from accelerate import Accelerator

    accelerator = Accelerator(cpu=True)
    model, optimizer = accelerator.prepare(work.model, work.optimizer)
    model.train()
    for x, y in work.stream:
        optimizer.zero_grad()
        loss = cross_entropy(model(x), y)
        accelerator.backward(loss)
        optimizer.step()


PEERS: dict[str, tuple[Trains, str]] = {
    "Fabric": (with_fabric, "lightning"),
    "Accelerate": (with_accelerate, "accelerate"),
}


def trainers(ranks: int) -> dict[str, Trains]:
    """Those that are installed, by name."""
    found: dict[str, Trains] = {} if ranks > 1 else {BARE: loop_by_hand}
    found |= {HAND: ddp_by_hand, OURS: legoloop}
    return found | {name: trains for name, (trains, needs) in PEERS.items() if installed(needs)}


def train(
    trains: Trains,
    load: Workload,
    size: int,
    steps: int,
    clock: Clock = time.perf_counter,
) -> list[tuple[float, bytes]]:
    """Train on so many ranks; the microseconds a step of each, and its weights."""

    def call(rank: int) -> tuple[float, bytes]:
        warnings.simplefilter("ignore")
        _as_torchrun_does(rank, size)
        work = Work(load, Ranks(rank, size), steps, clock)
        trains(work)
        return work.stream.step(), bytes_of(work.model)

    return on_ranks(size, call)


def _as_torchrun_does(rank: int, size: int) -> None:
    names = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "GROUP_RANK")
    os.environ.update(zip(names, map(str, (rank, rank, size, size, 0)), strict=True))
    os.environ["TORCHELASTIC_RUN_ID"] = "bench"


def measured(load: Workload, rounds: int, steps: int, clock: Clock) -> Found:
    """Microseconds a step, by the name of a trainer and the number of ranks."""

    def step(trains: Trains, size: int) -> float:
        return max(took for took, _ in train(trains, load, size, steps, clock))

    return interleaved(
        {
            _variant(name, size): partial(step, trains, size)
            for size in (1, RANKS)
            for name, trains in trainers(size).items()
        },
        rounds,
    )


def _variant(name: str, size: int) -> str:
    return f"{name}, {size}"


def rows_of(found: Found) -> Iterator[Sequence[object]]:
    """A row a trainer, and what the ranks cost it."""
    hand = _variant(HAND, RANKS)
    for name in dict.fromkeys(variant.rpartition(",")[0] for variant in found):
        alone, together = _variant(name, 1), _variant(name, RANKS)
        if name == BARE:
            yield name, f"{median(found[alone]):.0f}", "", "", ""
            continue
        # A process that needs no group has none.
        base = _variant(BARE, 1) if name == HAND else alone
        yield (
            name,
            f"{median(found[alone]):.0f}",
            f"{median(found[together]):.0f}",
            f"{times(found, together, hand):.3f}",
            f"{times(found, base, together) / RANKS:.2f}",
        )


def describe_peers() -> str:
    """The versions of the others, and which are not installed."""
    packages = dict.fromkeys(needs for _, needs in PEERS.values())
    return ", ".join(f"{name} {installed(name) or 'not installed'}" for name in packages)


def main() -> None:
    """Print the table of each model."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--cpu", action="store_true", help="CPU time, steadier on a busy machine")
    parser.add_argument("--tiny", action="store_true", help="only to see that it works")
    asked = parser.parse_args()
    rounds = 1 if asked.tiny else asked.rounds
    clock = time.process_time if asked.cpu else time.perf_counter
    unit = "µs of CPU time a step" if asked.cpu else "µs a step"
    print(f"{rounds} rounds, {RANKS} ranks, gloo; {describe_peers()}")
    heading = ["1 rank", f"{RANKS} ranks", "ratio to DDP by hand, in pairs", "efficiency, in pairs"]
    for name, load in WORKLOADS.items():
        steps = 10 if asked.tiny else load.steps
        found = measured(load, rounds, steps, clock)
        print(f"\n{table([f'{name}: {unit}', *heading], rows_of(found))}")


if __name__ == "__main__":
    main()
