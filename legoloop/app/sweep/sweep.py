"""A sweep: its folder, its jobs that are left, launched and summed up."""

from __future__ import annotations

import os
import re
import shlex
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from hydra.plugins.launcher import Launcher
from omegaconf import DictConfig, OmegaConf

from legoloop.app.hydra_bridge.override_repair import in_a_shell
from legoloop.app.hydra_bridge.overrides import quote_override
from legoloop.app.run.lifecycle import display_path
from legoloop.app.run.resume import parse_resume
from legoloop.app.sweep.follow import followed
from legoloop.app.sweep.job import Job, Overrides
from legoloop.app.sweep.launchers.asking import AsksForJobs
from legoloop.app.sweep.launchers.jobs import JobsLauncher
from legoloop.app.sweep.watch import WatchedJob
from legoloop.core.atomic_files import atomic_write
from legoloop.core.errors import ConfigError, DataError, UserError
from legoloop.core.run_directory import SWEEP_CONFIG, SWEEP_PAGE, SWEEP_RESULTS
from legoloop.core.text import printable
from legoloop.results.choosing import default_metrics, tags
from legoloop.results.formats import terminal, terminal_width, to_csv, with_causes
from legoloop.results.page import write_page
from legoloop.results.reading import read_runs
from legoloop.results.table import table_of_runs
from legoloop.state.run_record import check_startable, mark_failed_if_abandoned
from legoloop.state.sweep_record import lock_sweep


class Sweep:
    """The jobs of one multirun and the folder that holds their runs."""

    def __init__(self, config: DictConfig, jobs: Sequence[Job]) -> None:
        self.directory = Path(config.hydra.sweep.dir).absolute()
        self.jobs = list(jobs)
        self.total = len(jobs)
        self.left: Callable[[], int] = self._not_completed
        self.summed_up_further: Callable[[], str] | None = None
        self.stops_at_failure = OmegaConf.select(config, "sweep.on_failure") == "stop"
        self.is_interrupted = False
        self.left_behind: frozenset[int] = frozenset()
        self._print_line: Callable[[str], None] = partial(print, flush=True)
        self._is_summarized = OmegaConf.select(config, "sweep.output") == "summary"

    @classmethod
    @contextmanager
    def open(
        cls, config: DictConfig, jobs: Sequence[Job], search: Mapping[str, Any] | None = None
    ) -> Iterator[Sweep]:
        """The folder is this sweep's own while inside, and the sweep is summed up at the end.

        Args:
            config: the composed configuration of the multirun.
            jobs: of the sweep.
            search: of a sweep that chooses its jobs one after the other, what they are chosen from
                and by, as JSON.

        Raises ConfigError if the folder is another's.
        """
        sweep = cls(config, jobs)
        resume, _ = parse_resume(config.resume)
        lock = lock_sweep(
            sweep.directory,
            [job.training_overrides for job in jobs],
            [job.blueprint.behaviour() for job in jobs],
            resume,
            accept=config.on_config_change == "accept",
            directories=[os.path.relpath(job.directory, sweep.directory) for job in jobs],
            search=search,
        )
        try:
            _write(sweep.directory / SWEEP_CONFIG, OmegaConf.to_yaml(config))
            yield sweep
        except KeyboardInterrupt:
            sweep.is_interrupted = True
            raise
        finally:
            summarize(sweep.directory)
            if sweep.summed_up_further is not None:
                print(sweep.summed_up_further(), flush=True)
            if sweep.is_interrupted:
                sweep.tell_how_to_go_on()
            elif sweep.left_behind:
                sweep.tell_of_those_left_behind()
            lock.release()

    def pending(self) -> list[Job]:
        """The jobs that have not completed."""
        left = [job for job in self.jobs if not job.has_completed]
        if len(left) < len(self.jobs):
            print(f"{len(self.jobs) - len(left)} of {len(self.jobs)} jobs have completed already")
        return left

    @contextmanager
    def shown(self, jobs: Sequence[Job]) -> Iterator[None]:
        """While inside, where these jobs are carried out, it is shown how far the sweep is."""
        if not (self._is_summarized and jobs):
            yield
            return
        with followed(self.jobs, jobs):
            yield

    @contextmanager
    def shown_as_added(self, done: int) -> Iterator[Callable[[WatchedJob], None]]:
        """As ``shown``, for jobs that are added one by one: what to call with each.

        ``done`` jobs of all have ended before.
        """
        if not self._is_summarized:
            yield lambda job: None
            return
        with followed([], [], self.total - done) as follower:
            before, self._print_line = self._print_line, follower.print_line
            try:
                yield follower.add
            finally:
                self._print_line = before

    def print_description(self, launcher: Launcher, jobs: Sequence[Job]) -> None:
        """Print how the launcher describes these jobs, before they are carried out."""
        if isinstance(launcher, JobsLauncher):
            for line in launcher.describe_jobs([job.number for job in jobs]):
                self._print_line(line)

    def _not_completed(self) -> int:
        """How many jobs have not ended as they should."""
        return self.total - sum(job.has_completed for job in self.jobs)

    def tell_how_to_go_on(self) -> None:
        """Say how many jobs are left after an interruption, and the command that goes on."""
        command = command_again(sys.argv, display_path(self.directory))
        print(
            f"\ninterrupted: {self.left()} of {self.total} jobs are left; this goes on with them:"
        )
        print(f"  {command}", flush=True)

    def tell_of_those_left_behind(self) -> None:
        """Say how many jobs go on without this command, and the command that sums them up."""
        left = f"{len(self.left_behind)} of {len(self.jobs)} jobs"
        print(f"\n{left} are in the queue or run; this sums them up later:")
        print(f"  {command_again(sys.argv, display_path(self.directory))}", flush=True)

    def launch(self, launcher: Launcher, jobs: Sequence[Job]) -> None:
        """Run these jobs; whatever a launcher raises for them ends them alone.

        One whose directory is damaged is named, and left as it is.
        """
        jobs = [job for job in jobs if is_startable(job)]
        if not jobs:
            return
        with _reporting_errors():
            if isinstance(launcher, JobsLauncher):
                launcher.launch_jobs([(job.number, job.overrides) for job in jobs])
            else:
                for consecutive in _consecutive(jobs):
                    overrides = [job.overrides for job in consecutive]
                    launcher.launch(overrides, initial_job_idx=consecutive[0].number)
        self._mark_abandoned(launcher, jobs)

    def launch_as_asked(
        self,
        launcher: Launcher,
        jobs: Iterator[Job],
        ended: Callable[[int], None],
        batch_size: int | None,
    ) -> None:
        """Run jobs that are known one after the other, the next one when there is a place for it.

        Args:
            launcher: runs them.
            jobs: each is asked for as late as can be.
            ended: is called with the number of a job that has ended.
            batch_size: so many are asked for, and run, at once; None: the launcher asks for each.
        """
        if batch_size is None:
            assert isinstance(launcher, AsksForJobs)
            begun: list[Job] = []
            with _reporting_errors():
                launcher.launch_as_asked(_numbered(jobs, begun), ended)
            self._mark_abandoned(launcher, begun)
            for job in begun:
                ended(job.number)
            return
        while batch := list(islice(jobs, batch_size)):
            self.print_description(launcher, batch)
            self.launch(launcher, batch)
            for job in batch:
                ended(job.number)

    def _mark_abandoned(self, launcher: Launcher, jobs: Iterable[Job]) -> None:
        """Those that a launcher says are still in its queue, or run, are not."""
        left_behind = launcher.left_behind if isinstance(launcher, JobsLauncher) else frozenset()
        self.left_behind |= left_behind
        for job in jobs:
            if job.number not in left_behind:
                mark_failed_if_abandoned(job.directory, "its process died before it could say why")


def command_again(argv: Sequence[str], directory: Path) -> str:
    """The command as it was given, in this folder, to be typed into a shell.

    >>> print(command_again(["/bin/legoloop-run", "-m", "seed=0,1"], Path("multirun/a b")))
    legoloop-run -m seed=0,1 "hydra.sweep.dir='multirun/a b'"
    """
    program, *arguments = argv
    if Path(program).name == "run.py" and Path(program).parent.name == "legoloop":
        words = ["python", "-m", "legoloop.run"]
    elif program.endswith(".py"):
        words = ["python", shlex.quote(program)]
    else:
        words = [shlex.quote(Path(program).name)]
    kept = [text for text in arguments if not text.startswith(("hydra.sweep.dir=", "resume="))]
    is_plain = re.fullmatch(r"[\w./-]+", str(directory))
    place = str(directory) if is_plain else quote_override(str(directory))
    return " ".join([*words, *map(in_a_shell, [*kept, f"hydra.sweep.dir={place}"])])


def is_startable(job: Job) -> bool:
    """Whether its directory is fit for a run; if not, why is printed."""
    try:
        check_startable(job.directory, "auto")
    except ConfigError as error:
        print(f"error: job {job.number}: {error}", file=sys.stderr, flush=True)
        return False
    return True


def _write(file: Path, text: str) -> None:
    """Write a file that is for people alone: the sweep does without."""
    try:
        with atomic_write(file) as draft:
            draft.write_text(text, encoding="utf-8")
    except DataError as error:
        _warn(str(error))


def _warn(message: str) -> None:
    print(f"warning: {printable(message)}", file=sys.stderr, flush=True)


@contextmanager
def _reporting_errors() -> Iterator[None]:
    """What a launcher raises is printed."""
    try:
        yield
    except Exception as error:
        cause = str(error) if isinstance(error, UserError) else repr(error)
        print(f"error: the launcher: {cause}", file=sys.stderr)


def _numbered(jobs: Iterator[Job], begun: list[Job]) -> Iterator[tuple[int, Overrides]]:
    """The jobs as a launcher takes them; those that it took are kept."""
    for job in jobs:
        begun.append(job)
        yield job.number, job.overrides


def _consecutive(jobs: Sequence[Job]) -> Iterator[list[Job]]:
    """The jobs in groups of consecutive numbers: Hydra's launchers count from the first."""
    group: list[Job] = []
    for job in jobs:
        if group and job.number != group[-1].number + 1:
            yield group
            group = []
        group.append(job)
    if group:
        yield group


def summarize(directory: Path) -> None:
    """Write ``results.csv`` and ``results.html`` into the sweep's folder, and show the table.

    Failures are included. What cannot be read or written is a warning. Nothing if no job has
    begun.
    """
    try:
        found = read_runs(directory)
    except ConfigError:
        return
    for problem in found.problems:
        _warn(problem)
    runs = found.runs
    _write(directory / SWEEP_RESULTS, to_csv(table_of_runs(runs, tags(runs))))
    print(f"\nsweep directory: {display_path(directory)}", flush=True)
    table = terminal(table_of_runs(runs, default_metrics(runs)), terminal_width())
    print(with_causes(table, runs), flush=True)
    try:
        write_page(directory / SWEEP_PAGE, runs, [directory], found.problems)
    except DataError as error:
        _warn(str(error))
    else:
        print(f"\npage: {display_path(directory / SWEEP_PAGE)}", flush=True)
