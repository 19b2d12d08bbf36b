"""What a step costs a member of a group that trains as one program: ``python -m bench.members``.

Runs of one small network, each with its own seed, on images of 8x8 and batches of 32, with a fused
Adam: one after the other, and as the rows of one program, of so many at once, as it is and
compiled. A step is a member's, from batch to batch, on one thread and one core; nothing is
evaluated or written. With ``--device cuda`` the data lie on the GPU. Then whole sweeps of one
network on the digits, with everything that a run writes: by the launchers ``basic``, ``processes``
with two slots, and ``vmap``.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from math import isnan, nan
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import nn

import legoloop as ll
from bench.rounds import Found, interleaved, table, times
from bench.step import on_one_core
from legoloop.training.members.group import Group
from legoloop.training.members.program import Program
from legoloop.zoo.losses import CrossEntropy
from legoloop.zoo.models import MLP, SimpleCNN

SAMPLES, BATCH, CLASSES = 1440, 32, 10
ALONE = "alone"
Clock = Callable[[], float]


class SmallTransformer(nn.Module):
    """The rows of an image as tokens, one block of attention, ``logits`` (samples, classes)."""

    def __init__(self, width: int = 32, heads: int = 4) -> None:
        super().__init__()
        self.heads = heads
        self.embedding = nn.Linear(8, width)
        self.position = nn.Parameter(0.1 * torch.randn(8, width))
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(2))
        self.attention = nn.Linear(width, 3 * width)
        self.joined = nn.Linear(width, width)
        self.block = nn.Sequential(nn.Linear(width, 64), nn.GELU(), nn.Linear(64, width))
        self.head = nn.Linear(width, CLASSES)

    def forward(self, batch: dict[str, Any]) -> dict[str, torch.Tensor]:
        x = self.embedding(batch["image"][:, 0]) + self.position
        samples, tokens, width = x.shape
        parts = self.attention(self.norms[0](x)).view(samples, tokens, 3, self.heads, -1)
        query, key, value = parts.permute(2, 0, 3, 1, 4)
        scores = query @ key.transpose(2, 3) * query.shape[-1] ** -0.5
        seen = (scores.softmax(dim=-1) @ value).transpose(1, 2)
        x = x + self.joined(seen.reshape(samples, tokens, width))
        x = x + self.block(self.norms[1](x))
        return {"logits": self.head(x.mean(dim=1))}


WORKLOADS: Mapping[str, Callable[[], nn.Module]] = {
    "MLP 64-128-10": partial(MLP, 64, CLASSES, "multiclass", "image"),
    "CNN 8-16, 3x3": partial(
        SimpleCNN, (1, 8, 8), CLASSES, "multiclass", "image", (8, 16), 3, 128, 0.0
    ),
    "transformer, 1 block of width 32": SmallTransformer,
}


@dataclass(frozen=True)
class Runs:
    """So many runs of one network, each of so many steps."""

    make: Callable[[], nn.Module]
    clock: Clock
    number: int
    steps: int
    device: str = "cpu"

    def hosts(self) -> list[ll.TrainingHost]:
        """Each with a seed of its own."""
        return [self._host(seed) for seed in range(self.number)]

    def _host(self, seed: int) -> ll.TrainingHost:
        torch.manual_seed(seed)
        model = self.make().to(self.device)
        counter = ll.Counter()
        config = ll.LoaderConfig(batch_size=BATCH)
        device = torch.device(self.device)
        stream = ll.BatchStream(data(self.device), "train", seed, config, device)
        optimizer = torch.optim.Adam(model.parameters(), 1e-3, fused=True)
        descent = ll.GradientDescent(optimizer, model, ll.Feed(model, self.device), CrossEntropy())
        plugins = {
            "clock": StepClock(self.clock),
            "counter": counter,
            "epoch": ll.SimpleEpoch(stream),
            "descent": descent,
            "loss": ll.TrainLoss(),
            "last": ll.LastStep(counter, self.steps),
        }
        return ll.TrainingHost(plugins, seed=seed)


@cache
def data(device: str) -> ll.ColumnDataset:
    """The same for all."""
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(SAMPLES, 1, 8, 8, generator=generator)
    target = torch.randint(CLASSES, (SAMPLES,), generator=generator)
    return ll.ColumnDataset({"image": images, "target": target}).to(device)


class StepClock:
    """A plugin that reads a clock before its first step and after each.

    Args:
        clock: gives seconds.
    """

    supports_members = True

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.first = nan
        self.last = nan

    def batch_start(self, step: Any) -> None:
        if isnan(self.first):
            self.first = self.clock()

    def batch_end(self, step: Any) -> None:
        self.last = self.clock()


def alone(runs: Runs) -> float:
    """Microseconds a step of runs one after the other."""
    seconds = 0.0
    for host in runs.hosts():
        host.run()
        clock = _clock_of(host)
        seconds += clock.last - clock.first
    return seconds / (runs.number * runs.steps) * 1e6


class Together:
    """Runs as the rows of one program, which is kept for the next round."""

    def __init__(self, runs: Runs, compile: bool) -> None:
        self.runs = runs
        descent = self._descent(runs.hosts()[0])
        self.program = Program(descent.feed, descent.loss, compile)

    def __call__(self) -> float:
        """Microseconds a step of a member; nan if torch cannot run so many at once.

        From when all have come to their first step.
        """
        hosts = self.runs.hosts()
        group = Group(self.program, self._descent(hosts[0]), len(hosts), seed=0)
        steps = [host.stepped(group.member(row, host, "descent")) for row, host in enumerate(hosts)]
        try:
            group.run({row: partial(_advance, each) for row, each in enumerate(steps)})
        except RuntimeError as error:  # of vmap: not yet implemented
            print(str(error).splitlines()[0], file=sys.stderr)
            return nan
        clocks = [_clock_of(host) for host in hosts]
        seconds = max(clock.last for clock in clocks) - max(clock.first for clock in clocks)
        return seconds / (len(hosts) * self.runs.steps) * 1e6

    def _descent(self, host: ll.TrainingHost) -> Any:
        return host.plan.plugins["descent"]


def _clock_of(host: ll.TrainingHost) -> Any:
    return host.plan.plugins["clock"]


def _advance(steps: Iterator[Any]) -> bool:
    return next(steps, None) is not None


def measured(
    make: Callable[[], nn.Module],
    sizes: Sequence[int],
    rounds: int,
    steps: int,
    clock: Clock,
    compiles: bool = True,
    device: str = "cpu",
) -> Found:
    """Microseconds a member's step, by variant."""
    runs = partial(Runs, make, clock, steps=steps, device=device)
    variants: dict[str, Callable[[], float]] = {ALONE: partial(alone, runs(number=4))}
    for compile in (False, True) if compiles else (False,):
        for size in sizes:
            name = f"{size} {'compiled' if compile else 'eager'}"
            variants[name] = Together(runs(number=size), compile)
    return interleaved(variants, rounds)


def table_of(name: str, found: Found) -> str:
    """A row a variant, beside a run alone."""
    rows = [
        (variant, f"{median(took):.0f}", f"{min(took):.0f}", f"{times(found, ALONE, variant):.2f}")
        for variant, took in found.items()
    ]
    return table([f"{name}: µs a member's step", "median", "minimum", "faster, in pairs"], rows)


LAUNCHERS = {
    "basic": (),
    "processes, n_jobs=2": ("hydra/launcher=processes", "hydra.launcher.n_jobs=2"),
    "vmap": ("hydra/launcher=vmap", "hydra.launcher.members=32"),
    "vmap, compile=true": ("hydra/launcher=vmap", "hydra.launcher.members=32", "compile=true"),
}


def of_children() -> float:
    """The CPU time of all processes that have ended, in seconds."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def sweep(options: Sequence[str], jobs: int, epochs: int, clock: Clock) -> float:
    """Seconds of a sweep over seeds on the digits."""
    with TemporaryDirectory() as folder:
        command = ["-m", "legoloop.run", "-m", "data=digits", "model=mlp", f"num_epochs={epochs}"]
        began = clock()
        subprocess.run(
            [sys.executable, *command, f"seed=range({jobs})", *options],
            cwd=folder,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            check=True,
            capture_output=True,
        )
        return clock() - began


def sweeps(jobs: int, epochs: int, rounds: int, names: Sequence[str], clock: Clock) -> Found:
    """Seconds of whole sweeps, by launcher."""
    variants = {name: partial(sweep, LAUNCHERS[name], jobs, epochs, clock) for name in names}
    return interleaved(variants, rounds, warmup=False)


def table_of_sweeps(jobs: int, epochs: int, found: Found) -> str:
    """A row a launcher, beside ``basic``."""
    rows = [
        (name, f"{median(took):.1f}", f"{min(took):.1f}", f"{times(found, 'basic', name):.2f}")
        for name, took in found.items()
    ]
    heading = f"{jobs} jobs of {epochs} epochs on digits: seconds"
    return table([heading, "median", "minimum", "faster than basic, in pairs"], rows)


def main() -> None:
    """Print all tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=135)
    parser.add_argument("--jobs", type=int, default=32)
    parser.add_argument("--cpu", action="store_true", help="CPU time, steadier on a busy machine")
    parser.add_argument("--tiny", action="store_true", help="only to see that it works")
    parser.add_argument("--only", choices=("steps", "sweeps"), help="one of the two")
    parser.add_argument("--device", default="cpu", help="of the steps")
    parser.add_argument("--members", type=int, action="append", help="only so many at once")
    parser.add_argument("--eager", action="store_true", help="nothing is compiled")
    parser.add_argument("--network", action="append", choices=WORKLOADS, help="only these")
    asked = parser.parse_args()
    clock = time.process_time if asked.cpu else time.perf_counter
    sizes, rounds, steps = asked.members or (1, 4, 16, 32, 64), asked.rounds, asked.steps
    device = asked.device
    jobs, epochs, compiles = asked.jobs, 20, not asked.eager
    if asked.tiny:
        sizes, rounds, steps, jobs, epochs, compiles = (2,), 1, 2, 2, 1, False
    on = os.sched_getaffinity(0)
    if device == "cpu":
        on_one_core()
    print(f"{rounds} rounds of {steps} steps{', CPU time' if asked.cpu else ''}\n")
    for name in asked.network or WORKLOADS if asked.only != "sweeps" else ():
        found = measured(WORKLOADS[name], sizes, rounds, steps, clock, compiles, device)
        print(f"{table_of(name, found)}\n", flush=True)
    os.sched_setaffinity(0, on)
    if asked.only != "steps":
        names = list(LAUNCHERS)[: 3 if asked.tiny else None]
        of_sweeps = of_children if asked.cpu else time.perf_counter
        found = sweeps(jobs, epochs, max(1, rounds // 2), names, of_sweeps)
        print(table_of_sweeps(jobs, epochs, found))


if __name__ == "__main__":
    main()
