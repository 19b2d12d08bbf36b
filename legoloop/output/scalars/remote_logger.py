"""Base class of the loggers that report to a tracking service."""

from __future__ import annotations

import logging
import time
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import yaml

from legoloop.core.errors import DataError
from legoloop.core.growing_state import as_text, from_text
from legoloop.core.protocols import Scalars, ScalarSource, TrainingProgress
from legoloop.core.ranks import current_ranks
from legoloop.core.variation import Variation
from legoloop.loop.plugin import State
from legoloop.output.scalars.scalar_writer import ScalarWriter
from legoloop.output.scalars.throttle import Throttle

log = logging.getLogger("legoloop")

Report = tuple[int, float, Scalars]
"""The step, when it was reported in seconds since 1970, the scalars by tag."""

MAX_SEND_FRACTION = 0.05
"""The share of a run's time that may go into sending before the end."""


@dataclass(frozen=True)
class AboutRun:
    """What a service is told of a run when it begins.

    Args:
        name: None: the service chooses one.
        group: of runs that belong together; None: of none.
        tags: words to find it by.
        notes: a text for people; None: nothing.
        params: its settings: a dict, or a YAML file that is there when the training starts.
        run_dir: the directory that the run writes to; None: of none.

    >>> varied = Variation({"optimizer.lr": 0.1}, sweep=Path("sweeps/lr"))
    >>> about = AboutRun.of(None, None, run_dir="sweeps/lr/3", variation=varied)
    >>> about.name, about.group
    ('3 lr=0.1', 'sweeps/lr')
    """

    name: str | None = None
    group: str | None = None
    tags: tuple[str, ...] = ()
    notes: str | None = None
    params: Mapping[str, Any] | str | Path | None = None
    run_dir: str | None = None

    @classmethod
    def of(
        cls,
        name: str | None,
        group: str | None,
        tags: Sequence[str] = (),
        notes: str | None = None,
        params: Mapping[str, Any] | str | Path | None = None,
        run_dir: str | Path | None = None,
        variation: Variation | None = None,
    ) -> AboutRun:
        """What is left open follows from the run directory and from what varied.

        The name is that of the directory and what varied, the group that of the sweep's folder.
        """
        varied = variation or Variation()
        if name is None and run_dir is not None:
            name = f"{Path(run_dir).name} {varied.label}".strip()
        if group is None and varied.sweep is not None:
            group = "/".join(varied.sweep.parts[-2:])
        directory = None if run_dir is None else str(run_dir)
        return cls(name, group, tuple(tags), notes, params, directory)

    def read_params(self) -> Mapping[str, Any]:
        """The settings."""
        if isinstance(self.params, str | Path):
            params: dict[str, Any] = yaml.safe_load(Path(self.params).read_text())
            return params
        return self.params or {}


class RemoteLogger(ScalarWriter):
    """Base class for loggers that report to a run of a tracking service.

    Subclasses define how a run there begins or goes on (``begin``), is told reports (``send``) and
    ends (``end``), and which exceptions the service's client raises. Reports that follow each other
    quickly are sent together; at a checkpoint and at the end all are sent.

    All reports are in the state. A resumed run goes on with the same run of the service and sends
    what that does not have yet (``has``). A state that was saved in another run directory, as with
    ``resume=RUN``, begins a run of its own there, with the reports up to that state.

    Args:
        counter: tells the step.
        sources: one or several plugins with ``scalars()``.
        about: what the service is told of the run.
        artifacts: files and folders to upload once the training has ended.
        every_steps: also write after every so many steps; None: only at the end of epochs.

    Raises:
        ArgumentError: for a source without ``scalars()``, or ``every_steps`` below 1.
        DataError: if the service does not accept the run, or two sources report the same tag.
    """

    trained_alone = "reports to a service whose client may know one run a process"

    def __init__(
        self,
        counter: TrainingProgress,
        sources: ScalarSource | Iterable[ScalarSource],
        about: AboutRun,
        artifacts: Iterable[str | Path] = (),
        every_steps: int | None = None,
    ) -> None:
        super().__init__(counter, sources, every_steps)
        self.about = about
        self.artifacts = [Path(artifact) for artifact in artifacts]
        self.run_id: str | None = None
        self._record: list[Report] = []
        self._sent = 0  # so many of them
        self._throttle = Throttle(MAX_SEND_FRACTION)
        # The host looks for state in what plugins hold, but not inside the standard library's.
        self._connection = SimpleNamespace(run=None, client=None)
        self._has_begun = self._has_ended = False

    @property
    @abstractmethod
    def place(self) -> str:
        """The service, and where it is, for messages."""

    @abstractmethod
    def errors(self) -> tuple[type[Exception], ...]:
        """What the service's client raises."""

    def is_gone(self, error: Exception) -> bool:
        """Whether an error says that the service does not answer: it is not asked again then."""
        return False

    @abstractmethod
    def begin(self, run_id: str | None) -> str:
        """Go on with a run of the service, or create one if None; its name for the service."""

    def has(self, tag: str, step: int) -> bool:
        """Whether the run that goes on had this scalar from an earlier attempt."""
        return False

    @abstractmethod
    def send(self, reports: Sequence[Report]) -> None:
        """Send reports, in the order of their steps."""

    def upload(self, artifact: Path) -> None:
        """Upload a file or a folder."""

    @abstractmethod
    def end(self, has_completed: bool) -> None:
        """Say that the run has ended: completed, or not."""

    def train_start(self) -> None:
        super().train_start()
        if not current_ranks().is_writer:
            return
        with self._reporting_errors():
            self.run_id = self.begin(self.run_id)
        self._has_begun, self._has_ended = True, False
        self.flush()

    def write(self, step: int, scalars: Scalars) -> None:
        """Keep the report, and send it if sending is due, else later."""
        self._record.append((step, time.time(), dict(scalars)))
        if self._throttle.is_due():
            self.flush()

    def flush(self) -> None:
        """Send all reports that the service does not have."""
        if not self._has_begun or self._sent == len(self._record):
            return
        with self._throttle.timed(), self._reporting_errors():
            if new := list(self._new_reports()):
                self.send(new)
        self._sent = len(self._record)

    def train_end(self) -> None:
        super().train_end()
        self._has_ended = True

    def close(self) -> None:
        """Upload the artifacts, which other plugins have written by now, and end the run."""
        if not self._has_begun:
            return
        try:
            self.flush()
            with self._reporting_errors():
                for artifact in self.artifacts if self._has_ended else ():
                    if artifact.exists():
                        self.upload(artifact)
                self.end(self._has_ended)
        except DataError as error:  # a run that failed has an error of its own
            if self._has_ended:
                raise
            log.warning("%s", error)
        finally:
            self._has_begun = False

    def state_dict(self) -> State:
        return {
            **super().state_dict(),
            "run_id": self.run_id,
            "run_dir": self.about.run_dir,
            "record": as_text(self._record),
        }

    def load_state_dict(self, state: State) -> None:
        super().load_state_dict(state)
        own = self.about.run_dir  # states of earlier versions tell neither that nor the reports
        self.run_id = state["run_id"] if state.get("run_dir", own) == own else None
        self._record = [tuple(report) for report in from_text(state.get("record", ()))]
        self._sent = 0

    def _new_reports(self) -> Iterator[Report]:
        for step, when, scalars in self._record[self._sent :]:
            new = {tag: value for tag, value in scalars.items() if not self.has(tag, step)}
            if new:
                yield step, when, new

    @contextmanager
    def _reporting_errors(self) -> Iterator[None]:
        """The errors of the service become DataErrors."""
        try:
            yield
        except self.errors() as error:
            if self.is_gone(error):
                self._has_begun = False  # not contacted at the end again: it retries for minutes
            reason = (str(error) or repr(error)).splitlines()[0]
            raise DataError(f"{self.place} did not accept the run ({reason})") from error
