"""What tells a run from those that it is compared with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from legoloop.core.text import printable

LONGEST_LABEL = 120
"""In characters; loggers show it in a list of runs."""


@dataclass(frozen=True)
class Variation:
    """What varied: between the jobs of a sweep, or against the defaults in a run of its own.

    Args:
        values (Mapping[str, float | str]): by dotted key: a number, or what was written.
        sweep (Path | None): the folder of the sweep that the run is a job of; None: of none.

    >>> Variation({"optimizer.lr": 0.01, "model.hidden": 32}).label
    'lr=0.01,hidden=32'
    """

    values: Mapping[str, float | str] = field(default_factory=dict)
    sweep: Path | None = None

    @property
    def label(self) -> str:
        """The values in a line, under the last words of their keys where these differ.

        >>> Variation({"optimizer.lr": 0.01, "plugins.second.lr": 0.1}).label
        'optimizer.lr=0.01,plugins.second.lr=0.1'
        """
        last = [key.rpartition(".")[2] for key in self.values]
        names = last if len(set(last)) == len(last) else list(self.values)
        pairs = zip(names, self.values.values(), strict=True)
        text = printable(",".join(f"{name}={value}" for name, value in pairs))
        return text if len(text) <= LONGEST_LABEL else f"{text[: LONGEST_LABEL - 1]}…"

    @property
    def folder(self) -> str:
        """The label as the name of a folder.

        >>> Variation({"data.root": "/data/mine"}).folder
        'root=_data_mine'
        """
        return self.label.replace("/", "_")
