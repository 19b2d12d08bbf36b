"""Jobs of a sweep that are trained together: each is a run of its own, in its own directory."""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from hydra.core.utils import JobReturn, run_job
from hydra.types import HydraContext

from legoloop.app.hydra_bridge.internals import failed_job
from legoloop.app.run.job import claimed
from legoloop.app.run.lifecycle import Prepared, executed_with_others
from legoloop.app.run.signals import interruptions
from legoloop.app.startup import gc_tuning
from legoloop.app.sweep.member_output import MemberOutput
from legoloop.app.sweep.process_state import preserve_process_state
from legoloop.core.interruption import Interrupted
from legoloop.loop.host import TrainingHost
from legoloop.loop.lockstep import Lockstep
from legoloop.loop.step import Step
from legoloop.state.run_record import RunRecord
from legoloop.training.members.group import Group
from legoloop.training.members.support import descent_of, difference, member_numbers

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from legoloop.app.config.blueprint import Blueprint

Share = Callable[[Any, "Blueprint"], None]


FRAMES = 20
"""Of Python's stack, more than each job inside the one before it takes."""


class LaunchedJob(Protocol):
    """A job as a launcher has composed it."""

    @property
    def number(self) -> int: ...
    @property
    def overrides(self) -> list[str]: ...
    @property
    def config(self) -> DictConfig: ...
    @property
    def hydra_context(self) -> HydraContext: ...
    @property
    def task(self) -> Any: ...
    @property
    def output(self) -> Path | None: ...


class MemberFailed(Exception):
    """A job that is trained with others has failed; why was printed and recorded."""


class MemberRun:
    """A run at its turns.

    Args:
        prepared: the run.
        record: of its directory, which it has claimed.
        output: where it prints to.
    """

    def __init__(self, prepared: Prepared, record: RunRecord, output: MemberOutput) -> None:
        self.prepared = prepared
        self.record = record
        self.output = output
        self.lockstep: Lockstep | None = None
        self.has_completed = False
        self.interruption: BaseException | None = None
        self.is_over = False
        self._steps: Generator[Step, None, bool] | None = None

    @property
    def host(self) -> TrainingHost | None:
        """What trains; None if it could not be built."""
        return self.prepared.host

    @property
    def has_begun(self) -> bool:
        """Whether it has had a turn."""
        return self._steps is not None

    def advance(self) -> bool:
        """Go on to the next halt; False: it is over. Whatever ends the run, ends it alone."""
        if self._steps is None:
            self._steps = executed_with_others(self.prepared, self.record, self.lockstep)
        return self._turn(next)

    def end_with(self, error: BaseException) -> None:
        """Raise it where the run has halted, if it is not over."""
        if not self.is_over and self._steps is not None:
            self._turn(lambda steps: steps.throw(error))
        elif not self.is_over:
            self.is_over, self.interruption = True, error
            if self.record.previous is None:
                self.record.finish("INTERRUPTED")
            else:
                self.record.release()

    def _turn(self, go_on: Callable[[Generator[Step, None, bool]], Step]) -> bool:
        assert self._steps is not None
        self.output.begin_turn()
        try:
            go_on(self._steps)
            return True
        except StopIteration as end:
            self.has_completed = bool(end.value)
        except KeyboardInterrupt as interruption:
            self.interruption = interruption
        except (Exception, SystemExit) as error:
            print(f"error: {error!r}", file=sys.stderr)
        finally:
            self.output.end_turn()
        self.is_over = True
        return False


class TogetherRun:
    """Carries out jobs as the members of one group.

    Args:
        jobs: by their rows; rows without one stay empty.
        like: a host of the same program, by which models are compared.
        make_group: makes the group.
        share: gives the app of a job what those before it have built.
    """

    def __init__(
        self,
        jobs: Mapping[int, LaunchedJob],
        like: TrainingHost,
        make_group: Callable[[], Group],
        share: Share,
    ) -> None:
        self._jobs = jobs
        self._like = like
        self._make_group = make_group
        self._share = share
        self._members: dict[int, MemberRun] = {}
        self._current: MemberRun | None = None
        self._asked: Interrupted | None = None

    def run(self) -> dict[int, JobReturn]:
        """How each job ended, by its number.

        Raises what asked them to end, once all of them have saved and ended.
        """
        gc_tuning.restore_gc(is_only_run=False)
        returned: dict[int, JobReturn] = {}
        try:
            with preserve_process_state(), _deeper(FRAMES * len(self._jobs)):
                self._run_from(list(self._jobs.items()), returned)
        except BaseException as error:  # such as a signal while the jobs are claimed
            for member in self._members.values():
                member.end_with(error)
            raise
        if self._asked is not None:
            raise self._asked
        return returned

    def _run_from(
        self, jobs: Sequence[tuple[int, LaunchedJob]], returned: dict[int, JobReturn]
    ) -> None:
        """Each job inside the one before it, as Hydra calls jobs: all have begun inside the last.

        So Hydra makes the directory of each, and calls its callbacks before and after.
        """
        if not jobs:
            self._train()
            return
        (row, job), *others = jobs
        has_claimed = False

        def task(tree: DictConfig) -> None:
            nonlocal has_claimed
            has_claimed = True
            self._claim(row, job, tree)
            self._run_from(others, returned)
            member = self._members.pop(row, None)
            if member is None or not member.has_completed:
                raise MemberFailed

        try:
            returned[job.number] = run_job(
                hydra_context=job.hydra_context,
                task_function=task,
                config=job.config,
                job_dir_key="hydra.sweep.dir",
                job_subdir_key="hydra.sweep.subdir",
            )
        except Exception as error:  # Hydra could not make its directory, for one
            print(f"error: job {job.number}: {error}", file=sys.stderr)
            returned[job.number] = failed_job(job.overrides, error)
        if not has_claimed:
            self._run_from(others, returned)

    def _claim(self, row: int, job: LaunchedJob, tree: DictConfig) -> None:
        output = MemberOutput(job.number, job.output)
        blueprint = job.task.blueprints.get(job.number)
        claim = None
        with output.at_work():
            try:
                claim = claimed(tree, blueprint, self._share)
            except (Exception, SystemExit) as error:
                print(f"error: {error!r}", file=sys.stderr)
        if claim is None:
            output.close()
        else:
            self._members[row] = MemberRun(*claim, output)

    def _train(self) -> None:
        members = dict(self._members)
        together = {row: member for row, member in members.items() if self._meets(member)}
        if together:
            group = self._make_group()
            numbers = _own_numbers(together)
            for row, member in together.items():
                host, descent = member.host, descent_of(self._like)
                assert host is not None
                assert descent is not None
                member.lockstep = group.member(row, host, descent, numbers[row])
        try:
            with interruptions(self._interrupt):
                if together:
                    group.run({row: self._turns_of(member) for row, member in together.items()})
                for row in members.keys() - together.keys():
                    self._turns_of(members[row])()
        except BaseException as error:
            for member in members.values():
                member.end_with(error)
            raise
        finally:
            for member in members.values():
                member.output.close()

    def _meets(self, member: MemberRun) -> bool:
        """Whether it can be a row; one whose model turns out to be another is trained alone."""
        if member.host is None:
            return False
        found = difference(self._like, member.host)
        if found is not None:
            with member.output.at_work():
                print(f"warning: trained alone: {found} differs from that of the other jobs")
        return found is None

    def _turns_of(self, member: MemberRun) -> Callable[[], bool]:
        def advance() -> bool:
            if self._asked is not None and not member.has_begun:
                member.end_with(self._asked)
                return False
            self._current = member
            try:
                return member.advance()
            finally:
                self._current = None

        return advance

    def _interrupt(self, interruption: Interrupted) -> None:
        """Let each run save and end at its next safe point; that of the one at work may be now."""
        self._asked = self._asked or interruption
        at_work = [self._current] if self._current is not None else []
        halted = [each for each in self._members.values() if each is not self._current]
        for member in (*halted, *at_work):
            if member.has_begun and not member.is_over:
                if member.host is None:
                    raise interruption
                member.host.interrupt(interruption)


@contextmanager
def _deeper(frames: int) -> Iterator[None]:
    """While inside, Python's stack may be so much deeper."""
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(limit + frames)
    try:
        yield
    finally:
        sys.setrecursionlimit(limit)


def _own_numbers(members: Mapping[int, MemberRun]) -> dict[int, dict[str, float]]:
    """Of each member the attributes of its loss in which they are not alike."""
    found: dict[int, dict[str, float]] = {}
    for row, member in members.items():
        assert member.host is not None
        descent: Any = member.host.plan.plugins[str(descent_of(member.host))]
        names = member_numbers(descent.loss)
        found[row] = {name: float(getattr(descent.loss, name)) for name in names}
    alike = {
        name
        for numbers in found.values()
        for name in numbers
        if len({each[name] for each in found.values()}) == 1
    }
    return {
        row: {name: number for name, number in numbers.items() if name not in alike}
        for row, numbers in found.items()
    }
