"""The table of a page: what differs between the runs in columns, what all share once."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any

from legoloop.core.flatten import flatten_config
from legoloop.core.metric_direction import higher_is_better
from legoloop.results.choosing import tags, varied_keys
from legoloop.results.compare import CONFIGURATION
from legoloop.results.reading import Run
from legoloop.state.run_record import LABELS

LONGEST = 300
"""Longer texts are cut."""

LARGEST_INTEGER = 2**53
"""JavaScript has no larger ones that are exact."""

RECORD = ("run", *LABELS, "status", "started", "duration", "cause")
OFTEN_MISSING = (*LABELS, "cause")
"""Those of them that have no column if no run has them."""
RECORDED = {"code": "git", "data": "data", "versions": "versions", "hardware": "hardware"}
"""Sections of ``run.json`` by what they are about."""

Cell = str | int | float | bool | None
"""As JSON has it; None: the run has no value."""


@dataclass(frozen=True)
class Columns:
    """The table of a page.

    Args:
        heads: of each column what it is about, its key, whether ``higher`` or ``lower`` is better,
            whether it varied (and is not another one under a second name), and its ``tag`` if that
            is another one because the name was taken.
        rows: a row for each run.
        shared: the keys of the configuration that have one value in all runs.
    """

    heads: list[dict[str, Any]]
    rows: list[list[Cell]]
    shared: dict[str, Cell]


def columns_of(runs: Sequence[Run]) -> Columns:
    """The table of these runs."""
    configs = [{key: cell(value) for key, value in run.config.items()} for run in runs]
    keys = list(dict.fromkeys(key for config in configs for key in config))
    complete = [c for c, run in zip(configs, runs, strict=True) if run.has_full_config] or configs
    shared, differing = {}, []
    for key in keys:
        known = {repr(config[key]) for config in configs if key in config}
        if len(known) == 1 and all(key in config for config in complete):
            shared[key] = next(config[key] for config in configs if key in config)
        else:
            differing.append(key)
    varied = set(varied_keys(runs))
    given = {key for key in OFTEN_MISSING if any(run.value(key) for run in runs)}
    recorded = [key for key in RECORD if key not in OFTEN_MISSING or key in given]
    heads = [_head("record", key) for key in recorded]
    columns = [[_known(run.value(key)) for run in runs] for key in recorded]
    for key in sorted(differing, key=lambda key: key not in varied):
        heads.append(_head(CONFIGURATION, key, varied=key in varied))
        columns.append([config.get(key) for config in configs])
    for head, values in [*_metrics(runs), *_sections(runs)]:
        heads.append(head)
        columns.append(values)
    _tell_apart(heads, shared)
    return Columns(heads, [list(row) for row in zip(*columns, strict=True)], shared)


def cell(value: Any) -> Cell:
    """A value as JSON has it: what it lacks, such as nan or huge integers, becomes text.

    >>> cell(float("nan")), cell(None), cell([8, 8]), cell(2**60), cell(0.1)
    ('nan', 'null', '[8, 8]', '1152921504606846976', 0.1)
    """
    if isinstance(value, bool):
        return value
    if isinstance(value, int):
        return int(value) if abs(value) < LARGEST_INTEGER else shortened(str(value))
    if isinstance(value, float):
        return float(value) if isfinite(value) else str(float(value))
    if isinstance(value, str):
        return shortened(value)
    return shortened(json.dumps(value, default=str, ensure_ascii=False))


def shortened(text: str) -> str:
    """The text, or its beginning."""
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"


def _tell_apart(heads: Sequence[dict[str, Any]], shared: Collection[str]) -> None:
    """Rename what has the name of another: a metric ``lr`` beside a key ``lr``.

    The plain name is that of the record, else of the configuration, as in ``Run.columns``.
    """
    taken = set(shared)
    for head in heads:
        if head["key"] in taken:
            head["tag"], head["key"] = head["key"], f"{head['about']} {head['key']}"
        taken.add(head["key"])


def _known(value: Any) -> Cell:
    return None if value is None else cell(value)


def _head(about: str, key: str, varied: bool = False) -> dict[str, Any]:
    head: dict[str, Any] = {"about": about, "key": key}
    if varied:
        head["varied"] = True
    return head


def _metrics(runs: Sequence[Run]) -> Iterator[tuple[dict[str, Any], list[Cell]]]:
    """The final value of each metric, and its best one where that is another one in some run."""
    for tag in tags(runs):
        head = _head("metric", tag)
        higher = higher_is_better(tag)
        if higher is not None:
            head["better"] = "higher" if higher else "lower"
        final = [cell(run.final[tag]) if tag in run.final else None for run in runs]
        yield head, final
        best = [cell(run.best[tag]) if tag in run.best else None for run in runs]
        if any(one is not None and one != other for one, other in zip(best, final, strict=True)):
            yield {**head, "key": f"best {tag}"}, best


def _sections(runs: Sequence[Run]) -> Iterator[tuple[dict[str, Any], list[Cell]]]:
    """What differs between the records of the runs: commit, data, versions, hardware."""
    for about, name in RECORDED.items():
        flat = [_flat(run.record.get(name)) for run in runs]
        for key in dict.fromkeys(key for section in flat for key in section):
            values = [section.get(key) for section in flat]
            if len({repr(value) for value in values}) > 1:
                yield _head(about, key), values


def _flat(section: Any) -> Mapping[str, Cell]:
    if not isinstance(section, Mapping):
        return {}
    return {key: cell(value) for key, value in flatten_config(section)}
