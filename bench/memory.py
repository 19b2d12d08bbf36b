"""Accumulating and writing predictions, and what steps leave behind: ``python -m bench.memory``.

Ten columns of float32. The peak is that of a process of its own, above what it held before; the
bound is twice the bytes of the predictions: they are held once, and once more while they grow.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import resource
import subprocess
import sys
import time
from itertools import repeat
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch

import legoloop as ll
from bench.rounds import table
from bench.task import Task

COLUMNS = 10
BATCH = 1000
ROW = 4 * COLUMNS + 8
"""Bytes of a row: the predictions, and the index."""


class Collected:
    """An evaluation that hands out what is there."""

    when, datasets = "train_end", ("val",)

    def __init__(self, arrays: dict[str, np.ndarray]) -> None:
        self.arrays = arrays

    def collect(self, name: str) -> dict[str, np.ndarray]:
        return self.arrays


def peak() -> int:
    """The most bytes that this process ever held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def accumulated(rows: int) -> dict[str, np.ndarray]:
    """Predictions of so many rows, from batches of 1,000."""
    accumulator = ll.CompositeAccumulator(logits=ll.NumpyAccumulator(), idx=ll.NumpyAccumulator())
    draw = torch.Generator().manual_seed(0)
    for first in range(0, rows, BATCH):
        size = min(BATCH, rows - first)
        logits = torch.randn(size, COLUMNS, generator=draw)
        accumulator.add({"logits": logits, "idx": torch.arange(first, first + size)})
    return accumulator.result()


def with_legoloop(arrays: dict[str, np.ndarray], path: Path) -> None:
    ll.CsvLogits(path, Collected(arrays), acc_key="val").train_end()


def with_pandas(arrays: dict[str, np.ndarray], path: Path) -> None:
    import pandas as pd

    frame = pd.DataFrame(arrays["logits"], columns=[f"logit{n}" for n in range(COLUMNS)])
    frame.insert(0, "idx", arrays["idx"])
    frame.to_csv(path, index=False)


WRITERS = {"legoloop": with_legoloop, "DataFrame.to_csv": with_pandas}


def measured_in_subprocess(writer: str, rows: int) -> dict[str, float]:
    """The figures of a process that does nothing else."""
    command = [sys.executable, "-m", "bench.memory", "--writer", writer, "--rows", str(rows)]
    printed = subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout
    figures: dict[str, float] = json.loads(printed)
    return figures


def measure(writer: str, rows: int) -> dict[str, float]:
    """In this process: seconds and peaks of accumulating and of writing, and if it reads back."""
    with TemporaryDirectory() as folder:
        # Whatever is imported or made once is no cost of the rows.
        WRITERS[writer](accumulated(10), Path(folder) / "small.csv")
        before = peak()
        began = time.perf_counter()
        arrays = accumulated(rows)
        held = time.perf_counter()
        after = peak()
        path = Path(folder) / "predicts.csv"
        WRITERS[writer](arrays, path)
        written = time.perf_counter()
        return {
            "accumulating": held - began,
            "accumulating, peak": after - before,
            "writing": written - held,
            "peak": peak() - before,
            "same": float(_reads_back(arrays["logits"], path)),
        }


def _reads_back(logits: np.ndarray, path: Path) -> bool:
    """Whether the first and the last rows of the file are the same float32."""
    some = 1000
    with path.open("rb") as file:
        file.readline()
        first = [file.readline() for _ in range(min(some, len(logits)))]
        file.seek(max(-200 * some, -path.stat().st_size), os.SEEK_END)
        last = file.readlines()[1:]
    rows = np.array([line.split(b",") for line in first + last], dtype=np.float64)
    return np.array_equal(rows[:, 1:].astype(np.float32), logits[rows[:, 0].astype(int)])


def left_by_steps(steps: int) -> tuple[int, int]:
    """How many tensors, and bytes of them, are alive more after so many steps than after 20."""
    alive = []
    # What is frozen is not found: the process may hold others' tensors, some without a size.
    gc.freeze()

    class Looks:
        def batch_end(self, step: ll.Step) -> None:
            if counter.steps in (20, steps):
                gc.collect()
                tensors = [
                    each for each in gc.get_objects() if issubclass(type(each), torch.Tensor)
                ]
                alive.append((len(tensors), sum(each.nbytes for each in tensors)))

    from bench.peers.in_legoloop import loop

    with TemporaryDirectory() as folder:
        task = Task(steps, Path(folder))
        task.named("x", "target")
        plugins = loop(task, repeat(task.train.batch), steps, epochs=1)
        counter = plugins[0]
        ll.TrainingHost([*plugins, ll.TrainLoss(), Looks()]).run()
    gc.unfreeze()
    (tensors, size), (more_tensors, more_size) = alive
    return more_tensors - tensors, more_size - size


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--tiny", action="store_true", help="only to see that it works")
    parser.add_argument("--writer", choices=WRITERS, help="measure one, in this process")
    asked = parser.parse_args()
    if asked.writer:
        print(json.dumps(measure(asked.writer, asked.rows)))
        return
    rows = 10_000 if asked.tiny else asked.rows
    lines = []
    # The same columns are written a tenth as often by the slow one: rows a second do not depend.
    for writer, number in (("legoloop", rows), ("DataFrame.to_csv", rows // 10)):
        figures = measured_in_subprocess(writer, number)
        size = number * ROW
        lines.append(
            (
                writer,
                f"{number:,}",
                f"{number / figures['accumulating'] / 1e6:.1f} M",
                f"{figures['accumulating, peak'] / size:.2f}",
                f"{number / figures['writing'] / 1e3:,.0f} k",
                f"{figures['peak'] / size:.2f}",
                "yes" if figures["same"] else "no",
            )
        )
    heading = ["written by", "rows", "accumulated a second", "peak, times their bytes"]
    print(table([*heading, "written a second", "peak, times their bytes", "reads back"], lines))
    steps = 100 if asked.tiny else 2000
    tensors, size = left_by_steps(steps)
    print(
        f"\nAfter {steps:,} steps, {tensors} tensors, {size} bytes, more are alive than after 20."
    )


if __name__ == "__main__":
    main()
