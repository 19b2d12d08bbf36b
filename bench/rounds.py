"""Measuring in turns, and telling what was found as a table."""

from __future__ import annotations

import gc
import os
import platform
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median

Found = Mapping[str, Sequence[float]]
"""What each variant took, round by round."""


def interleaved(
    variants: Mapping[str, Callable[[], float]], rounds: int, warmup: bool = True
) -> Found:
    """Each variant once a round, after one that does not count.

    The machine's speed drifts, so that only what was measured in one round may be compared. Each
    round begins with the next variant: none is always first.
    """
    found: dict[str, list[float]] = {name: [] for name in variants}
    names = list(variants)
    for number in range(-1 if warmup else 0, rounds):
        first = number % len(names)
        for name in names[first:] + names[:first]:
            gc.collect()
            took = variants[name]()
            if number >= 0:
                found[name].append(took)
        print(f"round {number + 1} of {rounds}", file=sys.__stderr__, flush=True)
    return found


def above(found: Found, name: str, base: str) -> float:
    """The median over the rounds of what one took longer than the other in the same round."""
    return median(a - b for a, b in zip(found[name], found[base], strict=True))


def times(found: Found, name: str, base: str) -> float:
    """The median over the rounds of how many times as long as the other one took."""
    return median(a / b for a, b in zip(found[name], found[base], strict=True))


def table(heading: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table in markdown."""
    lines = [heading, ["---"] * len(heading), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def machine() -> str:
    """What the figures were measured on, in a line."""
    import torch

    parts = [
        f"{_processor()}, {os.cpu_count()} cores",
        f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB",
        f"{platform.system()} {platform.release()}",
        f"Python {platform.python_version()}",
        f"torch {torch.__version__}",
    ]
    if torch.cuda.is_available():
        parts.insert(0, torch.cuda.get_device_name())
    return ", ".join(parts)


def installed(package: str) -> str | None:
    """The version of a package; None if it is not there."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
