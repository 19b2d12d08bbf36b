"""What a step costs, beside the loop that people write and beside others: ``python -m bench.step``.

The same multilayer perceptron everywhere, 64-64-10, on a batch of 32 that is ready, with Adam, on
one thread and one core.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import torch

from bench import peers
from bench.peers import by_hand, in_legoloop
from bench.rounds import Found, above, interleaved, table, times
from bench.task import Clock, Task, weights
from bench.terminal import a_terminal

Trains = Callable[[Task], None]
HAND = "by hand"
FUSED = ", fused Adam"


def variants(kind: str) -> dict[str, tuple[Trains, bool]]:
    """Whatever is there: a function that trains, and whether its Adam is fused."""
    both = getattr(by_hand, kind) | getattr(in_legoloop, kind)
    found = {
        f"{name}{FUSED if fused else ''}": (trains, fused)
        for name, trains in both.items()
        for fused in (False, True)
    }
    for peer in peers.installed_peers():
        found |= {name: (trains, False) for name, trains in getattr(peer, kind).items()}
    return found


def plain(rounds: int, steps: int, clock: Clock = time.perf_counter) -> Found:
    """Microseconds a step once it goes, by variant."""

    def step(trains: Trains, fused: bool) -> float:
        with TemporaryDirectory() as folder:
            task = Task(steps, Path(folder), fused, clock=clock)
            trains(task)
            return task.train.step()

    return _measured("PLAIN", step, rounds)


def featured(rounds: int, steps: int, every: int = 1000, clock: Clock = time.perf_counter) -> Found:
    """Microseconds a step of a whole training, all included, by variant."""

    def step(trains: Trains, fused: bool) -> float:
        with TemporaryDirectory() as folder:
            task = Task(steps, Path(folder), fused, every)
            began = clock()
            trains(task)
            return (clock() - began) / steps * 1e6

    return _measured("FEATURED", step, rounds)


def _measured(kind: str, step: Callable[[Trains, bool], float], rounds: int) -> Found:
    measured = {name: partial(step, *given) for name, given in variants(kind).items()}
    with a_terminal():
        return interleaved(measured, rounds)


def trained(trains: Trains, steps: int, fused: bool = False) -> bytes:
    """The weights that a variant ends with, which are those of all others."""
    with TemporaryDirectory() as folder, a_terminal():
        task = Task(steps, Path(folder), fused, every=steps)
        trains(task)
        return weights(task.model)


def plain_table(found: Found) -> str:
    """Beside the loop by hand with the same optimizer."""
    rows = []
    for name, took in found.items():
        base = HAND + (FUSED if name.endswith(FUSED) else "")
        rows.append(
            (
                name,
                f"{median(took):.0f}",
                f"{min(took):.0f}",
                f"{median(took) - median(found[base]):+.1f}",
                f"{above(found, name, base):+.1f}",
                f"{min(took) - min(found[base]):+.1f}",
            )
        )
    heading = ["µs a step", "median", "minimum"]
    over = ["of medians", "in pairs", "of minima"]
    return table([*heading, *(f"above the loop by hand, {which}" for which in over)], rows)


def featured_table(found: Found) -> str:
    """Beside both loops by hand."""
    rows = [
        (
            name,
            f"{median(took):.0f}",
            f"{min(took):.0f}",
            f"{times(found, name, HAND):.2f}",
            f"{times(found, name, HAND + FUSED):.2f}",
        )
        for name, took in found.items()
    ]
    beside = [f"ratio to {HAND}", f"ratio to {HAND}{FUSED}"]
    return table(["µs a step, all included", "median", "minimum", *beside], rows)


def on_one_core() -> None:
    """Everything that this process does, and those that it starts."""
    torch.set_num_threads(1)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--cpu", action="store_true", help="CPU time, steadier on a busy machine")
    parser.add_argument("--tiny", action="store_true", help="only to see that it works")
    asked = parser.parse_args()
    rounds, steps = (1, 100) if asked.tiny else (asked.rounds, asked.steps)
    clock = time.process_time if asked.cpu else time.perf_counter
    on_one_core()
    unit = ", CPU time" if asked.cpu else ""
    print(f"{steps} steps in each of {rounds} rounds{unit}; {peers.describe_versions()}\n")
    print(plain_table(plain(rounds, steps, clock)))
    print(
        "\nWith a progress bar, TensorBoard every 50 steps, and every 1,000 steps a validation of"
    )
    print("50 batches and the best weights; pairs of the same round:\n")
    print(featured_table(featured(rounds, steps, min(steps, 1000), clock)))


if __name__ == "__main__":
    main()
