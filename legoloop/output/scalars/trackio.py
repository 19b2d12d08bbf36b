"""Scalars for trackio."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from importlib.util import find_spec
from itertools import chain, count
from pathlib import Path
from typing import Any

from legoloop.core.errors import MissingExtraError
from legoloop.core.flatten import flatten_config
from legoloop.core.protocols import ScalarSource, TrainingProgress
from legoloop.core.variation import Variation
from legoloop.output.scalars.remote_logger import AboutRun, RemoteLogger, Report


class TrackioLogger(RemoteLogger):
    """Writes scalars to a run of trackio, in its database on this machine.

    ``trackio show`` shows them, ``trackio sync`` sends them to others. A resumed run continues the
    same run; what a killed attempt reported after its last checkpoint stays, and is not sent again.

    Args:
        counter: tells the step.
        sources: one or several plugins with ``scalars()``.
        project: name of the trackio project, which is created if it does not exist.
        run_name: None: the name of the run directory and what varied; without one, trackio's
            choice. A name that is taken in the project gets a number.
        group: of runs that belong together; None: the folder of the sweep, if there is one.
        tags: words to find the run by; trackio shows them with the configuration.
        notes: a text for people, likewise.
        params: the configuration of the run: a dict, or a YAML file that is there when the training
            starts; nested keys are joined with dots.
        every_steps: also write after every so many steps; None: only at the end of epochs.
        run_dir: the run directory: a state that was saved in another begins a run of its own.
        variation: what varied, for the name and the group.

    Raises:
        MissingExtraError: if the package trackio is not installed.
        DataError: if trackio does not accept the run, or two sources report the same tag.

    >>> from legoloop.training.counter import Counter
    >>> class Half:
    ...     def scalars(self): return {"half": 0.5}
    >>> logger = TrackioLogger(Counter(), Half(), project="digits")  # doctest: +SKIP
    """

    def __init__(
        self,
        counter: TrainingProgress,
        sources: ScalarSource | Iterable[ScalarSource],
        project: str = "legoloop",
        run_name: str | None = None,
        group: str | None = None,
        tags: list[str] | tuple[str, ...] = (),
        notes: str | None = None,
        params: Mapping[str, Any] | str | Path | None = None,
        every_steps: int | None = None,
        run_dir: str | Path | None = None,
        variation: Variation | None = None,
    ) -> None:
        about = AboutRun.of(run_name, group, tags, notes, params, run_dir, variation)
        super().__init__(counter, sources, about, every_steps=every_steps)
        if find_spec("trackio") is None:
            raise MissingExtraError.of("TrackioLogger", "trackio", "trackio")
        self.project = project
        self._there: set[tuple[str, int]] = set()  # tag and step of an earlier attempt

    @property
    def run(self) -> Any:
        """The ``trackio.Run``, once the training has started; None before."""
        return self._connection.run

    @property
    def place(self) -> str:
        return "trackio"

    def errors(self) -> tuple[type[Exception], ...]:
        return (sqlite3.Error, OSError, RuntimeError, ValueError)

    def begin(self, run_id: str | None) -> str:
        import trackio
        from trackio.sqlite_storage import SQLiteStorage

        described = {"tags": list(self.about.tags), "notes": self.about.notes}
        self._connection.run = trackio.init(
            self.project,
            name=run_id or self._free_name(SQLiteStorage.get_runs(self.project)),
            group=self.about.group,
            resume="never" if run_id is None else "allow",  # it is not there before a report
            config={
                **dict(flatten_config(self.about.read_params())),
                **{key: value for key, value in described.items() if value},
            },
        )
        name: str = self.run.name
        logs = [] if run_id is None else SQLiteStorage.get_logs(self.project, name)
        self._there.update((tag, row["step"]) for row in logs for tag in row)
        return name

    def has(self, tag: str, step: int) -> bool:
        return (tag, step) in self._there

    def send(self, reports: Sequence[Report]) -> None:
        for step, _, scalars in reports:
            self.run.log(scalars, step=step)

    def end(self, has_completed: bool) -> None:
        import trackio

        trackio.finish()

    def _free_name(self, taken: Sequence[str]) -> str | None:
        """The name of the run, or with a number: trackio finds a run by its name."""
        name = self.about.name
        if name is None:
            return None
        names = chain([name], (f"{name} ({number})" for number in count(2)))
        return next(each for each in names if each not in taken)
