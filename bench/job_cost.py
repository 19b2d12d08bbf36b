"""What a job of a sweep costs above an empty Hydra job: ``python -m bench.job_cost``.

Sweeps of one-step jobs on xor, with everything that a run writes but loggers, against an empty
task that Hydra's own sweeper runs over the same configuration. Both are whole processes; the cost
of a job is what a long sweep takes longer than a short one, by the number of jobs that it has more.
Rounds are interleaved, and medians are told.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from bench.rounds import table

EMPTY = """
import hydra
from legoloop.app.hydra_bridge.shipped_config import shipped_config_dir

@hydra.main(version_base="1.3", config_path=str(shipped_config_dir()), config_name="config")
def empty(tree):
    pass

empty()
"""
SMALL = (
    "data=xor",
    "model=logistic",
    "num_epochs=1",
    "epoch_size=1",
    "data.loaders.default.batch_size=1",
    "eval_samples=1",
    "loggers=[]",
    "~plugins.loaders_metrics",
    "~plugins.predicts",
)


def seconds(kind: str, jobs: int, here: Path) -> float:
    """The time of one sweep."""
    sweep = here / f"{kind}-{jobs}-{time.monotonic_ns()}"
    (here / "empty.py").write_text(EMPTY)
    command = {
        "legoloop": ["-m", "legoloop.run", "-m"],
        "empty": ["empty.py", "-m", "hydra/sweeper=basic", "~hydra.callbacks.legoloop"],
    }[kind]
    began = time.perf_counter()
    subprocess.run(
        [
            *(sys.executable, *command, *SMALL),
            f"hydra.sweep.dir={sweep}",
            f"seed=range({jobs})",
        ],
        cwd=here,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        check=True,
        capture_output=True,
    )
    return time.perf_counter() - began


def main() -> None:
    """Print a table of the cost of a job of both, and the difference."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=100)
    asked = parser.parse_args()
    few = asked.jobs // 10
    costs: dict[str, list[float]] = {"empty": [], "legoloop": []}
    with TemporaryDirectory() as folder:
        for number in range(asked.rounds):
            for kind, found in costs.items():
                many, less = (seconds(kind, jobs, Path(folder)) for jobs in (asked.jobs, few))
                found.append((many - less) / (asked.jobs - few) * 1e3)
            told = ", ".join(f"{kind} {found[-1]:.0f} ms" for kind, found in costs.items())
            print(f"round {number}: {told}", file=sys.stderr, flush=True)
    above = median(ours - empty for empty, ours in zip(*costs.values(), strict=True))
    row = [*(median(found) for found in costs.values()), above]
    heading = ["ms", "empty job of Hydra", "job of legoloop", "above it, in pairs"]
    print(table(heading, [("a job of a sweep", *(f"{each:.0f}" for each in row))]))


if __name__ == "__main__":
    main()
