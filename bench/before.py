"""This commit beside another one: ``LEGOLOOP_BEFORE=FOLDER python -m bench.before``.

``FOLDER`` is a checkout of the other one. Each task is a process of its own, of the one and of the
other in turn; told are its seconds, and those of the CPU, which vary less on a busy machine. With
``LEGOLOOP_SEED``, as ``bench.mnist`` takes it, the seed's page also runs on the seed's package.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from bench import images
from bench.rounds import interleaved, table, times

ROOT = Path(__file__).parent.parent
BEFORE, SEED = "LEGOLOOP_BEFORE", "LEGOLOOP_SEED"
NOW, THEN, PACKAGE = "now", "before", "the seed's package"

SWEEP = ("-m", "legoloop.run", "-m", "data=digits")
TINY = ("num_epochs=1", "epoch_size=32")


def page(folder: Path, tiny: bool) -> Sequence[str]:
    """The page, which evaluates less where it is only to be seen that it works."""
    return ("-m", "bench.seed_page", str(folder), "0")


def sweep(folder: Path, tiny: bool) -> Sequence[str]:
    """The digits of an epoch, by seed."""
    jobs, more = (2, TINY) if tiny else (32, ("num_epochs=1",))
    return (*SWEEP, *more, f"seed=range({jobs})", f"hydra.sweep.dir={folder / 'sweep'}")


def by_sample(draw: str) -> Callable[[Path, bool], Sequence[str]]:
    """Batches of single samples."""
    return lambda folder, tiny: ("-m", "bench.samples", draw, "256" if tiny else "200000")


TASKS: Mapping[str, Callable[[Path, bool], Sequence[str]]] = {
    "the seed's page": page,
    "a sweep of 32 jobs on digits, an epoch each": sweep,
    "200,000 samples that draw from torch": by_sample("torch"),
    "200,000 samples that draw from random": by_sample("random"),
    "200,000 samples that draw nothing": by_sample("nothing"),
}


def _seconds(command: Sequence[str], package: Path, here: Path) -> tuple[float, float]:
    """The seconds of a process, and those of the CPU; it takes legoloop alone from a folder."""
    (here / "tasks").mkdir()
    (here / "tasks" / "bench").symlink_to(ROOT / "bench")
    path = os.pathsep.join(map(str, (here / "tasks", package)))
    began, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(
        [sys.executable, "-P", *command],
        cwd=here,
        env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
        check=True,
        capture_output=True,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return time.perf_counter() - began, cpu


def _rows(name: str, packages: Mapping[str, Path], rounds: int, tiny: bool) -> list[list[str]]:
    """A row of seconds and one of those of the CPU."""
    cpus: dict[str, list[float]] = {package: [] for package in packages}

    def run(package: str) -> float:
        with TemporaryDirectory() as folder:
            command = TASKS[name](Path(folder), tiny)
            seconds, cpu = _seconds(command, packages[package], Path(folder))
        cpus[package].append(cpu)
        return seconds

    walls = interleaved(
        {package: lambda package=package: run(package) for package in packages},
        rounds,
        warmup=False,
    )
    rows = []
    for kind, found in (("", walls), (", CPU", cpus)):
        cells = [
            f"{median(found[package]):.2f}" if package in found else ""
            for package in (NOW, THEN, PACKAGE)
        ]
        ratios = [
            f"{times(found, NOW, package):.2f}" if package in found else ""
            for package in (THEN, PACKAGE)
        ]
        rows.append([f"{name}{kind}", *cells, *ratios])
    return rows


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--tiny", action="store_true", help="only to see that it works")
    parser.add_argument("--task", default="", help="only those whose name has this in it")
    asked = parser.parse_args()
    before = Path(os.environ.get(BEFORE, ROOT)).absolute()
    if BEFORE not in os.environ:
        print(f"No other commit is given ({BEFORE} names a checkout of one): it is this one.\n")
    with TemporaryDirectory() as folder:
        if asked.tiny:
            images.write(Path(folder), samples=300)
            os.environ["LEGOLOOP_DATA"] = folder
        rows: list[list[str]] = []
        for name in TASKS:
            if asked.task not in name:
                continue
            packages = {NOW: ROOT, THEN: before}
            if TASKS[name] is page and SEED in os.environ:
                packages[PACKAGE] = Path(os.environ[SEED]).absolute()
            of_task = _rows(name, packages, 1 if asked.tiny else asked.rounds, asked.tiny)
            print(of_task, file=sys.stderr)  # the others may take long, or fail
            rows += of_task
    heading = ["seconds, medians", NOW, THEN, PACKAGE, "in pairs, to before", "to the package"]
    print(table(heading, rows))


if __name__ == "__main__":
    main()
