"""What a step costs on a GPU: ``python -m bench.gpu``.

legoloop beside the bare loop of the same arithmetic: eager, compiled, and captured as a graph
(``reduce-overhead``), in fp32 and bf16, with the data on the device and fused Adam. The device is
waited for before and after the steps that are timed, and nowhere else.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from itertools import repeat
from statistics import median
from typing import Any

import torch
from torch import nn
from torch.nn.functional import cross_entropy

import legoloop as ll
from bench.gpu_models import CASES, TINY, Case
from bench.peers.in_legoloop import OfDicts, loss
from bench.rounds import above, interleaved, table, times

MODES: dict[str, str | None] = {
    "eager": None,
    "compiled": "default",
    "graph-captured": "reduce-overhead",
}
PRECISIONS = ("fp32", "amp_bf16")
Steps = Callable[[int], float]
"""Makes so many steps; the seconds that they took, without what comes before and after them."""


def bare(case: Case, device: torch.device, mode: str | None, precision: str) -> Steps:
    """The loop by hand."""
    model, optimizer, (x, y) = _made(case, device)

    def loss_of_batch(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        uses_amp = precision == "amp_bf16"
        with torch.autocast(device.type, torch.bfloat16) if uses_amp else nullcontext():
            logits = model(x)
        return cross_entropy(logits.float(), y)

    fast = torch.compile(loss_of_batch, mode=mode) if mode else loss_of_batch

    def steps(number: int) -> float:
        model.train()
        _wait(device)
        began = time.perf_counter()
        for x, y in repeat(batch, number):
            optimizer.zero_grad()
            fast(x, y).backward()
            optimizer.step()
        _wait(device)
        return time.perf_counter() - began

    batch = x, y
    return steps


def ours(case: Case, device: torch.device, mode: str | None, precision: str) -> Steps:
    """The same by legoloop's bricks; a host for each so many steps, a descent for all of them."""
    layers, optimizer, (x, y) = _made(case, device)
    model = OfDicts(layers)
    feed = ll.Feed(model, device, precision=precision, channels_last=case.is_image)
    descent = ll.GradientDescent(optimizer, model, feed, loss, compile=mode or False)
    batch = {"x": x, "target": y}

    def steps(number: int) -> float:
        counter, clock = ll.Counter(), Clock(device)
        epoch = ll.SimpleEpoch(repeat(batch), epoch_size=number * len(x))
        loop = [clock, counter, epoch, descent, ll.LastEpoch(counter, 1), ll.TrainLoss()]
        ll.TrainingHost(loop).run()
        return clock.seconds

    return steps


class Clock:
    """A plugin that measures how long the steps of an epoch take."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.seconds = 0.0

    def epoch_start(self) -> None:
        _wait(self.device)
        self.seconds = -time.perf_counter()

    def epoch_end(self) -> None:
        _wait(self.device)
        self.seconds += time.perf_counter()


def _made(case: Case, device: torch.device) -> tuple[nn.Module, torch.optim.Optimizer, Any]:
    torch.manual_seed(0)
    model = case.model().to(device)
    x, y = case.batch(device)
    if case.is_image:
        model = model.to(memory_format=torch.channels_last)
        x = x.contiguous(memory_format=torch.channels_last)
    return model, torch.optim.Adam(model.parameters(), lr=1e-5, fused=True), (x, y)


def timed(steps: Steps, number: int) -> float:
    """Microseconds a step."""
    return steps(number) / number * 1e6


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def rows(
    cases: dict[str, Case],
    modes: dict[str, str | None],
    device: torch.device,
    rounds: int,
    seconds: float,
) -> Iterator[tuple[object, ...]]:
    """One for each case, mode and precision, each as soon as it is there."""
    for name, case in cases.items():
        for precision in PRECISIONS:
            for how, mode in modes.items():
                torch.compiler.reset()
                made = {"bare": bare, "ours": ours}
                loops = {who: make(case, device, mode, precision) for who, make in made.items()}
                for steps in loops.values():
                    steps(5)  # compiles, and captures
                number = _steps_in(seconds, timed(loops["bare"], 5))
                variants = {
                    who: lambda steps=steps, number=number: timed(steps, number)
                    for who, steps in loops.items()
                }
                found = interleaved(variants, rounds)
                yield (
                    name,
                    precision,
                    how,
                    f"{median(found['bare']):,.0f}",
                    f"{median(found['ours']):,.0f}",
                    f"{above(found, 'ours', 'bare'):+.1f}",
                    f"{times(found, 'ours', 'bare'):.3f}",
                )


def _steps_in(seconds: float, micros: float) -> int:
    return min(max(int(seconds / micros * 1e6), 10), 2000)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0.5, help="for each measurement, about")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--case", action="append", choices=CASES, help="only these")
    parser.add_argument("--mode", action="append", choices=MODES, help="only these")
    parser.add_argument("--tiny", action="store_true", help="only to see that it works")
    asked = parser.parse_args()
    device = torch.device(asked.device)
    if device.type == "cuda" and not torch.cuda.is_available():
        print("No GPU is at hand.")
        return
    cases = TINY if asked.tiny else {name: CASES[name] for name in asked.case or CASES}
    modes = {name: MODES[name] for name in asked.mode or MODES}
    rounds, seconds = (1, 0.01) if asked.tiny else (asked.rounds, asked.seconds)
    heading = ["", "precision", "mode", "bare, µs a step", "legoloop", "above, in pairs", "ratio"]
    found = []
    for row in rows(cases, modes, device, rounds, seconds):
        print(*row, file=sys.stderr, flush=True)
        found.append(row)
    print(table(heading, found))


if __name__ == "__main__":
    main()
