"""What the process of a run and its ranks tell each other: files in a temporary folder.

The process of the run writes what is to be trained (``TASK``), and that it was interrupted. Each
rank writes the number of its process once it handles signals, and how it failed; rank 0 writes
how the training ended.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from legoloop.core.atomic_files import atomic_write
from legoloop.loop.plugin import Ending

TASK, OUTCOME, INTERRUPTION = "task.json", "outcome.json", "interruption.json"
Kind = Literal["mistake", "bug", "lost", "interrupted"]
"""Of a failure: a UserError; any other; another rank was lost; the run is to end."""


@dataclass(frozen=True)
class RankTask:
    """What ranks train.

    Args:
        blueprint: as ``Blueprint.to_dict`` writes it.
        checkpoint: the folder of the checkpoint to go on from; None: from the beginning.
        strict: whether the checkpoint must be of a run like this one.
        import_path: the folders in which modules are looked for.
        ranks: how many they are, on all machines.
        log: the file of the run's log; None: there is none.
        grace: seconds that a rank has to say how it failed when another has died.
    """

    blueprint: Mapping[str, Any]
    checkpoint: str | None
    strict: bool
    import_path: list[str]
    ranks: int
    log: str | None = None
    grace: float = 2.0


@dataclass(frozen=True)
class RankFailure:
    """How a rank failed.

    Args:
        kind: what kind of failure.
        message: for people.
        time: when, in seconds since 1970.
        signal: the number of the signal that interrupted it; None: of none.
        trace: the traceback of a bug.
    """

    kind: Kind
    message: str
    time: float
    signal: int | None = None
    trace: str = ""


@dataclass(frozen=True)
class Outcome:
    """How a training ended that did not fail."""

    stop_reason: str | None
    ends_as: Ending = "COMPLETED"
    failed_lookers: dict[str, str] = field(default_factory=dict)
    scalars: dict[str, Any] = field(default_factory=dict)


class RankFiles:
    """The files in a temporary folder.

    >>> import tempfile
    >>> files = RankFiles(Path(tempfile.mkdtemp()))
    >>> files.write_outcome(Outcome("8 epochs are done"))
    >>> files.outcome().stop_reason
    '8 epochs are done'
    >>> files.failures(), files.processes()
    ({}, {})
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def scratch(self, rank: int) -> Path:
        """The run directory of a rank whose files nobody keeps."""
        return self.folder / f"rank{rank}"

    def write_task(self, task: RankTask) -> None:
        """Write what is to be trained."""
        self._write(TASK, asdict(task))

    def task(self) -> RankTask:
        """What is to be trained."""
        return RankTask(**self._read(TASK))

    def write_outcome(self, outcome: Outcome) -> None:
        """Write how the training ended."""
        self._write(OUTCOME, asdict(outcome))

    def outcome(self) -> Outcome:
        """How the training ended."""
        return Outcome(**self._read(OUTCOME))

    def write_failure(self, rank: int, failure: RankFailure) -> None:
        """Write how a rank failed."""
        self._write(f"{rank}.failure.json", asdict(failure))

    def failures(self) -> dict[int, RankFailure]:
        """How those ranks failed that did and could say so."""
        found = sorted(self.folder.glob("*.failure.json"))
        return {
            int(path.name.partition(".")[0]): RankFailure(**self._read(path.name)) for path in found
        }

    def write_process(self, rank: int) -> None:
        """Write the number of this process, which is a rank and handles signals."""
        self._write(f"{rank}.pid", os.getpid())

    def processes(self) -> dict[int, int]:
        """The number of the process of each rank that handles signals."""
        found = sorted(self.folder.glob("*.pid"))
        return {int(path.stem): self._read(path.name) for path in found}

    def write_done(self, rank: int) -> None:
        """Write that a rank has nothing left to do."""
        self._write(f"{rank}.done", True)

    def is_done(self, rank: int) -> bool:
        """Whether a rank has nothing left to do."""
        return (self.folder / f"{rank}.done").exists()

    def write_interruption(self, number: int) -> None:
        """Write the number of the signal that the run was sent."""
        self._write(INTERRUPTION, number)

    def interruption(self) -> int | None:
        """The number of the signal that the run was sent, if it was."""
        return self._read(INTERRUPTION) if (self.folder / INTERRUPTION).exists() else None

    def _write(self, name: str, value: Any) -> None:
        with atomic_write(self.folder / name) as temporary:
            temporary.write_text(json.dumps(value))

    def _read(self, name: str) -> Any:
        return json.loads((self.folder / name).read_text())
