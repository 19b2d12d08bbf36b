"""What the list of very many runs costs: ``python -m bench.listing``.

One small run is trained, and its ``run.json`` and ``config.yaml`` are copied with other learning
rates, seeds and metrics. The command lists them in a process of its own; its memory is the most
that this process ever held.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.rounds import table

RUNS = 100_000
TINY = 20
LR, SEED = "0.0123456789", "1234567"
"""What marks the places in the files of the run that is copied."""
ACCURACY = "val/accuracy"
A_FOLDER = 1000
"""Runs in a sweep."""

OPTIONS: dict[str, Sequence[str]] = {
    "all": (),
    "as CSV": ("--format", "csv"),
    "by optimizer.lr": ("--by", "optimizer.lr"),
}


@dataclass(frozen=True)
class Pattern:
    """The files of a run in which learning rate, seed, accuracy and directory are replaced."""

    directory: str
    accuracy: str
    record: str
    config: str

    @classmethod
    def trained(cls, directory: Path) -> Pattern:
        """Those of a run that is trained now."""
        subprocess.run(
            [
                *(sys.executable, "-m", "legoloop.run", "data=xor", "model=mlp", "num_epochs=1"),
                *(f"optimizer.lr={LR}", f"seed={SEED}", "loggers=[]"),
                f"hydra.run.dir={directory}",
            ],
            check=True,
            stdout=subprocess.DEVNULL,
        )
        record, config = directory / "run.json", directory / "config.yaml"
        facts = json.loads(record.read_text())
        # A number that stands nowhere else, as it is written.
        facts["final"][ACCURACY] = 0.1234567891
        return cls(str(directory), "0.1234567891", json.dumps(facts, indent=2), config.read_text())

    def write(self, directory: Path, number: int) -> None:
        """Another run, in another directory."""
        lr, seed = 10 ** -(1 + number % 97 / 24), number // 97
        accuracy = 0.5 + (number * 7919 % 100_003) / 200_006

        def filled(text: str) -> str:
            text = text.replace(self.directory, str(directory))
            return text.replace(LR, repr(lr)).replace(SEED, str(seed))

        config = filled(self.config)
        record = filled(self.record).replace(self.accuracy, repr(accuracy))
        digest = sha256(self.config.encode()).hexdigest()
        record = record.replace(digest, sha256(config.encode()).hexdigest())
        directory.mkdir(parents=True)
        (directory / "config.yaml").write_text(config)
        (directory / "run.json").write_text(record)


def make_runs(folder: Path, runs: int) -> int:
    """So many run directories, in sweeps of a thousand; the bytes of one."""
    pattern = Pattern.trained(folder / "trained")
    for number in range(runs):
        pattern.write(folder / "runs" / str(number // A_FOLDER) / str(number % A_FOLDER), number)
    return len(pattern.config) + len(pattern.record)


def measured(folder: Path, options: Sequence[str]) -> tuple[float, float, int]:
    """Seconds, the most MB that were held, and the lines that were printed."""
    command = [sys.executable, "-m", "legoloop.results", str(folder), *options]
    began = time.perf_counter()
    with (folder.parent / "listed").open("wb") as listed:
        process = subprocess.Popen(command, stdout=listed, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - began
    if status:
        raise RuntimeError(f"{command} failed")
    lines = (folder.parent / "listed").read_bytes().count(b"\n")
    return seconds, usage.ru_maxrss * 1024 / 1e6, lines


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=RUNS)
    parser.add_argument("--tiny", action="store_true", help="only to see that it works")
    asked = parser.parse_args()
    runs = TINY if asked.tiny else asked.runs
    rows = []
    with TemporaryDirectory() as made:
        size = make_runs(Path(made), runs)
        for name, options in OPTIONS.items():
            seconds, megabytes, lines = measured(Path(made) / "runs", options)
            rows.append((name, f"{seconds:.1f}", f"{megabytes:.0f}", f"{lines:,}"))
    print(f"{runs:,} runs, {size / 1000:.0f} kB each in `run.json` and `config.yaml`.\n")
    print(table(["list", "s", "MB", "lines"], rows))


if __name__ == "__main__":
    main()
