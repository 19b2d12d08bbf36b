"""An epoch of MNIST and all its evaluations: ``python -m bench.mnist``.

legoloop against the same job by hand: an epoch of 60,000 images and 110,000 evaluated ones, in
turns, every round with a seed of its own.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path
from statistics import mean, median, stdev
from tempfile import TemporaryDirectory

import legoloop as ll
from bench import images, mnist_by_hand
from bench.rounds import interleaved, table, times

ROOT = Path(__file__).parent.parent
SEED = "LEGOLOOP_SEED"
"""Names the folder that the seed's package was installed into, ``pip install --target``."""

JOB = ("experiment=mnist", "num_epochs=1", "epoch_size=null")
FAST = ("precision=auto",)
PLAIN = ("precision=fp32", "channels_last=false", "optimizer.fused=null")
HAND, BEST, SEEDS_PACKAGE = "by hand", "by hand, at its best", "the seed's package"

Outcome = tuple[float, float, int]
"""Seconds, accuracy, and how many samples were evaluated."""


def by_hand(run: Callable[[Path, int], tuple[float, int]]) -> Callable[[Path, int], Outcome]:
    def outcome(folder: Path, seed: int) -> Outcome:
        began = time.perf_counter()
        accuracy, evaluated = run(folder, seed)
        return time.perf_counter() - began, accuracy, evaluated

    return outcome


def configured(*overrides: str) -> Callable[[Path, int], Outcome]:
    """legoloop by its configuration, as its command does it."""

    def outcome(folder: Path, seed: int) -> Outcome:
        began = time.perf_counter()
        with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere):
            app = ll.compose([*JOB, *overrides, f"seed={seed}", f"hydra.run.dir={folder / 'run'}"])
            app.host().run()
        took = time.perf_counter() - began
        accuracy = app.loaders_metrics().scalars()["final/val_real/accuracy"]
        return took, accuracy, app.loops_acc().evaluated + app.loaders_acc().evaluated

    return outcome


def of_the_page(package: Path) -> Callable[[Path, int], Outcome]:
    """The page's own container, on the package called legoloop that a folder has."""

    def outcome(folder: Path, seed: int) -> Outcome:
        path = os.pathsep.join(map(str, (package, ROOT)))
        command = [sys.executable, "-P", "-m", "bench.seed_page", str(folder), str(seed)]
        told = subprocess.run(
            command,
            env={**os.environ, "PYTHONPATH": path},
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        )
        took, accuracy, evaluated = told.stdout.splitlines()[-1].split()
        return float(took), float(accuracy), int(evaluated)

    return outcome


def variants() -> dict[str, Callable[[Path, int], Outcome]]:
    found = {
        HAND: by_hand(mnist_by_hand.as_people_write_it),
        BEST: by_hand(mnist_by_hand.at_its_best),
        "legoloop": configured(),
        f"legoloop, {' '.join(FAST)}": configured(*FAST),
        f"legoloop, {' '.join(PLAIN)}": configured(*PLAIN),
        "legoloop, the seed's page": of_the_page(ROOT),
    }
    if SEED in os.environ:
        found[SEEDS_PACKAGE] = of_the_page(Path(os.environ[SEED]).absolute())
    return found


def measured(seeds: int) -> tuple[dict[str, list[Outcome]], str]:
    """The outcomes by variant, and their table."""
    outcomes: dict[str, list[Outcome]] = {}

    def run(name: str, variant: Callable[[Path, int], Outcome]) -> float:
        found = outcomes.setdefault(name, [])
        with TemporaryDirectory() as folder:
            found.append(variant(Path(folder), len(found)))
        return found[-1][0]

    found = interleaved(
        {name: lambda name=name, v=v: run(name, v) for name, v in variants().items()},
        seeds,
        warmup=False,
    )
    beside = [name for name in (HAND, BEST, SEEDS_PACKAGE) if name in found]
    rows = [
        (
            name,
            f"{median(took):.1f}",
            f"{min(took):.1f}",
            *(f"{times(found, name, other):.2f}" for other in beside),
            f"{outcomes[name][0][2]:,}",
            _spread([accuracy for _, accuracy, _ in outcomes[name]]),
        )
        for name, took in found.items()
    ]
    told = ["seconds", "median", "minimum", *(f"ratio to {name}" for name in beside)]
    return outcomes, table([*told, "evaluated", "accuracy"], rows)


def _spread(values: list[float]) -> str:
    around = f" ± {stdev(values):.4f}" if len(values) > 1 else ""
    return f"{mean(values):.4f}{around}"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--tiny", action="store_true", help="only to see that it works")
    asked = parser.parse_args()
    with TemporaryDirectory() as folder:
        if asked.tiny:
            images.write(Path(folder), samples=300)
            os.environ["LEGOLOOP_DATA"] = folder
        _, told = measured(1 if asked.tiny else asked.seeds)
    print(f"Seeds: {1 if asked.tiny else asked.seeds}.")
    if SEED not in os.environ:
        print(f"The seed's package is not installed ({SEED} names its folder).")
    print(f"\n{told}")


if __name__ == "__main__":
    main()
