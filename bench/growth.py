"""How costs grow with size: ``python -m bench.growth``.

A step with the steps before it and with the plugins that hear it, an evaluation with its samples,
a checkpoint with its parameters, a listing with its runs; each at 1, 10 and 100 times a size. The
exponent is that of the last tenfold: 1 is linear, and less is better. What the machine itself does
to the cost of bytes shows in the row of those that are written by hand.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from io import BytesIO
from itertools import repeat
from math import log10
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import torch
from torch import nn

import legoloop as ll
from bench.peers.in_legoloop import OfDicts, loop
from bench.rounds import interleaved, table
from bench.task import CLASSES, FEATURES, Task

TIMES = (1, 10, 100)
Prepared = Callable[[int, Path], Callable[[], object]]
"""Given a size and a folder, what is to be timed."""


class Hears:
    """A plugin that hears each step and does nothing."""

    def batch_end(self, step: ll.Step) -> None:
        pass


def steps(number: int, folder: Path) -> Callable[[], object]:
    """A run of so many steps that reports every 50 of them to all that is written."""
    task = Task(number, folder, fused=True)
    task.named("x", "target")
    plugins = loop(task, repeat(task.train.batch), number, epochs=1)
    counter = plugins[0]
    sources = [ll.TrainLoss(), ll.LearningRateMonitor(task.optimizer)]
    writers = [
        ll.CsvMetrics(folder / "metrics.csv", counter, sources, every_steps=50),
        ll.TensorBoard(counter, sources, folder / "logs", every_steps=50),
        ll.History(counter, sources, every_steps=50),
    ]
    return ll.TrainingHost([*plugins, *sources, *writers]).run


def plugins(number: int, folder: Path) -> Callable[[], object]:
    """A run of 200 steps that so many plugins hear."""
    task = Task(200, folder, fused=True)
    task.named("x", "target")
    parts = loop(task, repeat(task.train.batch), task.steps, epochs=1)
    return ll.TrainingHost([*parts, *(Hears() for _ in range(number))]).run


def evaluation(samples: int, folder: Path) -> Callable[[], object]:
    """A pass over so many samples that collects logits and targets."""
    model = OfDicts(nn.Linear(FEATURES, CLASSES))
    columns = {"x": torch.zeros(samples, FEATURES), "target": torch.zeros(samples).long()}
    data = ll.ColumnDataset(columns)
    loader = ll.Loader(data, "val", seed=0, config=ll.LoaderConfig(batch_size=256))
    collected = ll.CompositeFactory(logits=ll.NumpyAccumulator, target=ll.NumpyAccumulator)
    passes = ll.LoadersAcc({"val": loader}, model, collected, ll.Feed(model, "cpu"))
    return lambda: passes.collect("val")


def checkpoint(parameters: int, folder: Path) -> Callable[[], object]:
    """The state of a model of so many parameters and of its Adam, written to the disk."""
    from legoloop.state.checkpoints import write_checkpoint

    state = _state(parameters)
    return lambda: write_checkpoint(folder / "0", state)


def by_hand(parameters: int, folder: Path) -> Callable[[], object]:
    """The bytes of that checkpoint, ready to be written: one write, one fsync."""
    content = BytesIO()
    torch.save(_state(parameters), content)

    def write() -> None:
        with (folder / "0").open("wb", buffering=0) as file:
            file.write(content.getbuffer())
            os.fsync(file.fileno())

    return write


def _state(parameters: int) -> dict[str, torch.Tensor]:
    # Not zeros: memory that was never written to has no pages of its own.
    return {name: torch.randn(parameters) for name in ("weight", "exp_avg", "exp_avg_sq")}


def listing(runs: int, folder: Path) -> Callable[[], object]:
    """A table of so many finished runs."""
    from legoloop.results import load
    from legoloop.state.run_record import RunRecord

    for number in range(runs):
        run = folder / str(number)
        if not number:
            RunRecord.start(run, seed=0, overrides=["seed=0"]).finish(
                "COMPLETED", final={"val/accuracy": 0.5}
            )
            (run / "config.yaml").write_text(json.dumps({"seed": 0, "optimizer": {"lr": 0.1}}))
        else:
            shutil.copytree(folder / "0", run)
    return lambda: load(folder).runs()


ROWS: Mapping[str, tuple[Prepared, int]] = {
    "steps of a run": (steps, 300),
    "plugins that hear 200 steps": (plugins, 1),
    "samples of an evaluation": (evaluation, 2_000),
    "parameters of a checkpoint": (checkpoint, 50_000),
    "parameters, their bytes written by hand": (by_hand, 50_000),
    "runs of a listing": (listing, 5),
}


def measured(rounds: int, divided_by: int = 1) -> dict[str, list[float]]:
    """The median seconds of each row at its three sizes."""

    def seconds(prepare: Prepared, size: int) -> float:
        with TemporaryDirectory() as folder:
            timed = prepare(size, Path(folder))
            os.sync()  # what others left to the disk is not to be paid here
            began = time.perf_counter()
            timed()
            return time.perf_counter() - began

    variants = {
        (what, larger): lambda prepare=prepare, size=size, larger=larger: seconds(
            prepare, max(size // divided_by, 1) * larger
        )
        for what, (prepare, size) in ROWS.items()
        for larger in TIMES
    }
    found = interleaved(variants, rounds)
    return {what: [median(found[what, larger]) for larger in TIMES] for what in ROWS}


def exponent(seconds: Sequence[float]) -> float:
    """By what power of the size the cost grew over the last tenfold.

    >>> exponent([5.0, 1.0, 100.0])
    2.0
    """
    return log10(seconds[-1] / seconds[-2])


def plot(found: Mapping[str, Sequence[float]], path: Path) -> None:
    """Costs beside that of the smallest size, on logarithmic axes."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context({"svg.hashsalt": "legoloop", "svg.fonttype": "none"}):
        figure = Figure(figsize=(6, 4), layout="constrained")
        axes = figure.add_subplot(xscale="log", yscale="log", xlabel="size", ylabel="cost")
        axes.plot(TIMES, TIMES, "--", color="grey", label="linear")
        for what, seconds in found.items():
            axes.plot(TIMES, [each / seconds[0] for each in seconds], marker="o", label=what)
        axes.legend(frameon=False, fontsize="small")
        figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)


def main() -> None:
    """Print the table, and draw the plot."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--plot", type=Path, help="where to draw it")
    parser.add_argument("--tiny", action="store_true", help="only to see that it works")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    found = measured(1, divided_by=100) if asked.tiny else measured(asked.rounds)
    rows = [
        (f"{size:,} {what}", *(f"{each * 1e3:.1f}" for each in seconds), f"{exponent(seconds):.2f}")
        for (what, seconds), (_, size) in zip(found.items(), ROWS.values(), strict=True)
    ]
    print(table(["ms for", "1x", "10x", "100x", "exponent"], rows))
    if asked.plot:
        plot(found, asked.plot)


if __name__ == "__main__":
    main()
