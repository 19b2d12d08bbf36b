"""The predicted classes of all runs, packed, so that a page can say which samples two disagree on.

Runs mostly agree: only what differs from the most common class of a sample is kept.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from legoloop.core.errors import DataError
from legoloop.core.run_directory import PREDICTIONS
from legoloop.results.page.packing import packed_json
from legoloop.results.predictions import predicted_classes
from legoloop.results.reading import Run

MAX_BYTES = 2**25
"""So much is read, of all predictions together: a second or two."""


def packed_samples(runs: Sequence[Run], max_bytes: int) -> tuple[str | None, str | None]:
    """The classes, or why there are none; both None if no run wrote predictions."""
    sizes = [_size(run) for run in runs]
    if not any(sizes):
        return None, None
    if sum(sizes) > MAX_BYTES:
        return None, _left_out(f"{PREDICTIONS} of all runs have {sum(sizes) / 1e6:.0f} MB")
    found = [_classes(run) if size else None for run, size in zip(runs, sizes, strict=True)]
    if not any(found):
        return None, None
    text = packed_json(differences(found))
    if len(text) > max_bytes:
        return None, _left_out(f"they would take {len(text) / 1e3:.0f} kB")
    return text, None


def differences(found: Sequence[Mapping[str, str] | None]) -> dict[str, Any]:
    """Samples, classes, the most common class of each sample, and what differs from it by run.

    A class of -1 stands for a sample that the run did not predict.

    >>> table = differences([{"a": "0", "b": "1"}, {"a": "0", "b": "2"}, {"a": "0", "b": "1"}])
    >>> table["common"], table["differing"]
    ([0, 1], [[[], []], [[1], [2]], [[], []]])
    """
    votes: dict[str, Counter[str]] = {}
    for classes in filter(None, found):
        for sample, name in classes.items():
            votes.setdefault(sample, Counter())[name] += 1
    samples = list(votes)
    names = list(dict.fromkeys(name for counter in votes.values() for name in counter))
    numbers: dict[str | None, int] = {None: -1, **{name: n for n, name in enumerate(names)}}
    common = [counter.most_common(1)[0][0] for counter in votes.values()]
    differing: list[list[list[int]] | None] = []
    for run in found:
        if run is None:
            differing.append(None)
            continue
        at = [n for n, sample in enumerate(samples) if run.get(sample) != common[n]]
        differing.append([at, [numbers[run.get(samples[n])] for n in at]])
    return {
        "samples": samples,
        "classes": names,
        "common": [numbers[name] for name in common],
        "differing": differing,
    }


def _left_out(why: str) -> str:
    return f"predicted classes are left out: {why}; legoloop-results --compare reads them"


def _size(run: Run) -> int:
    try:
        return (run.directory / PREDICTIONS).stat().st_size
    except OSError:
        return 0


def _classes(run: Run) -> Mapping[str, str] | None:
    try:
        return predicted_classes(run)
    except DataError:
        return None
