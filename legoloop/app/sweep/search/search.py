"""A search at work: which trial is run next, and what becomes of it."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from math import isnan
from pathlib import Path

from optuna import Trial
from optuna.trial import TrialState

from legoloop.app.run.lifecycle import record_failure
from legoloop.app.sweep.compose_jobs import JobComposer
from legoloop.app.sweep.job import Job
from legoloop.app.sweep.search.objective import Objective
from legoloop.app.sweep.search.space import Space
from legoloop.app.sweep.search.study import FINISHED, SearchStudy
from legoloop.app.sweep.sweep import is_startable
from legoloop.core.errors import ConfigError
from legoloop.core.study_storage import RUN_DIR
from legoloop.core.text import printable
from legoloop.state.directory_lock import is_locked
from legoloop.state.run_record import DONE, read_record

PATIENCE = 40.0
"""Seconds that a run whose sweep was killed may take to save; then it is killed."""


class Search:
    """The trials of a study as jobs of a sweep.

    Args:
        study: asks for them.
        space: what their values are chosen from.
        objective: what is read from their runs.
        composer: makes jobs of them.
        n_trials: how many there are to be in all, whatever becomes of them.
        stops_at_failure: whether a run that failed ends the search, and is run again later.
    """

    def __init__(
        self,
        study: SearchStudy,
        space: Space,
        objective: Objective,
        composer: JobComposer,
        n_trials: int,
        stops_at_failure: bool,
    ) -> None:
        self.study = study
        self.space = space
        self.objective = objective
        self.n_trials = n_trials
        self.has_stopped = False
        self._composer = composer
        self._stops_at_failure = stops_at_failure
        self._running: dict[int, tuple[Trial, Path]] = {}

    def jobs(self, begin: Callable[[Job], None]) -> Iterator[Job]:
        """The jobs that are left, each asked for as late as can be; ``begin`` is given each.

        First those that were running when an earlier command ended, as the trials that they were.
        """
        for frozen in self.study.trials(TrialState.RUNNING):
            if self.has_stopped:
                return
            trial = self.study.running(frozen)
            if (job := self._resumed(trial)) is not None:
                begin(job)
                yield job
        while not self.has_stopped and (number := len(self.study.trials())) < self.n_trials:
            if (job := self._job(self.study.ask(number))) is not None:
                begin(job)
                yield job

    def ended(self, number: int) -> None:
        """Tell the study how the run of a trial ended; nothing if it is to go on some time."""
        if number not in self._running:
            return
        trial, directory = self._running.pop(number)
        try:
            record = read_record(directory)
        except FileNotFoundError:  # it was interrupted before it began
            return
        except (OSError, ValueError) as error:
            self._failed(trial, str(error))
            return
        status, values = record["status"], self.objective.values(record)
        if status == "FAILED":
            self._failed(trial, str(record.get("cause")))
        elif status == "PRUNED":
            self.study.tell(number, None, TrialState.PRUNED)
        elif status == "COMPLETED" and not any(map(isnan, values)):
            self.study.tell(number, values, TrialState.COMPLETE)
        elif status == "COMPLETED":
            pairs = zip(self.objective.monitors, values, strict=True)
            missing = ", ".join(tag for tag, value in pairs if isnan(value))
            self.study.fail(trial, f"{missing} is not a number, or was not reported")

    def finished(self) -> int:
        """How many trials are over."""
        return len(self.study.trials(*FINISHED))

    def left(self) -> int:
        """How many trials are not over."""
        return max(0, self.n_trials - self.finished())

    def _job(self, trial: Trial) -> Job | None:
        """The job of a trial; None if its configuration is refused: then the trial has failed."""
        overrides: Sequence[str] = []
        try:
            varied = self.space.varied(trial)
            overrides = [*self.space.fixed, *varied]
            job = self._composer.job(trial.number, overrides, varied)
        except ConfigError as error:
            print(f"error: {error}", file=sys.stderr, flush=True)
            self._refused(trial, overrides, str(error))
            return None
        trial.set_user_attr(RUN_DIR, str(job.directory))
        if not is_startable(job):
            self._failed(trial, f"{job.directory} holds something else")
            return None
        self._running[trial.number] = trial, job.directory
        return job

    def _resumed(self, trial: Trial) -> Job | None:
        """The job of a trial that was asked before; None if its run has ended meanwhile."""
        directory = trial.user_attrs.get(RUN_DIR)
        if directory is not None:
            _wait_for(Path(directory))
            status = _status(Path(directory))
            if status in DONE or (status == "FAILED" and not self._stops_at_failure):
                self._running[trial.number] = trial, Path(directory)
                self.ended(trial.number)
                return None
        return self._job(trial)

    def _failed(self, trial: Trial, cause: str) -> None:
        """A run failed: if the search stops at that, the same command runs it again."""
        if self._stops_at_failure:
            self.has_stopped = True
        else:
            self.study.fail(trial, cause)

    def _refused(self, trial: Trial, overrides: Sequence[str], cause: str) -> None:
        directory = self._composer.folder / str(trial.number)
        try:
            record_failure(directory, None, overrides, cause)
        except ConfigError as error:  # there is a run already
            print(f"error: {error}", file=sys.stderr, flush=True)
        self._failed(trial, cause)


def _status(directory: Path) -> str | None:
    try:
        return str(read_record(directory)["status"])
    except (OSError, ValueError):
        return None


def _wait_for(directory: Path) -> None:
    """Until the process of a killed sweep's run is gone: it saves first."""
    give_up = time.monotonic() + PATIENCE
    is_told = False
    while is_locked(directory, "run") and time.monotonic() < give_up:
        if not is_told:
            print(f"waiting for the run in {printable(str(directory))} to save", flush=True)
            is_told = True
        time.sleep(0.2)
