"""Where the machines of a run meet; imports nothing, since launchers are imported by any Hydra."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Rendezvous:
    """Where the machines of one run meet.

    Args:
        file: holds the address of the first one; of this attempt at the run alone.
        nodes: how many there are.
    """

    file: Path
    nodes: int
