"""Jobs that are trained together as one program: ``hydra/launcher=vmap``."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from hydra.core.utils import JobReturn, configure_log
from omegaconf import OmegaConf

from legoloop.app.sweep.launchers.jobs import JobsLauncher, Overrides, SentJob, has_failed
from legoloop.core.errors import ArgumentError

log = logging.getLogger("legoloop")

if TYPE_CHECKING:
    from legoloop.app.config.blueprint import Blueprint
    from legoloop.app.sweep.grouping import Grouping, Together
    from legoloop.app.sweep.programs import Programs


class VmapLauncher(JobsLauncher):
    """Trains jobs that differ only in numbers together, as one program; others one by one.

    All of them run in this process. A job that dies ends the sweep.

    Args:
        members: how many jobs are trained together at most.

    Raises ArgumentError for members that are no whole number of at least 1.
    """

    def __init__(self, members: int = 16) -> None:
        if not isinstance(members, int) or isinstance(members, bool) or members < 1:
            raise ArgumentError(
                f"is {members!r}", argument="members", remedy="give a whole number of at least 1"
            )
        self._most = members
        self._grouping: Grouping | None = None
        self._programs: Programs | None = None

    def describe_jobs(self, jobs: Sequence[int]) -> Sequence[str]:
        """Find out which of the jobs go together, and describe it."""
        self._grouping = self._grouped(jobs)
        assert self._programs is not None
        return [self._grouping.line(), *self._programs.lines]

    def launch_jobs(self, jobs: Sequence[tuple[int, Overrides]]) -> Sequence[JobReturn]:
        """Carry out jobs that are given with their numbers."""
        numbers = [number for number, _ in jobs]
        known = self._grouping
        if known is None or not all(known.of(n) or n in known.alone for n in numbers):
            for line in self.describe_jobs(numbers):  # a sweeper of Hydra's asks for nothing ahead
                log.info(line)
        return super().launch_jobs(jobs)

    def execute(self, jobs: Iterator[SentJob]) -> list[JobReturn]:
        """How each of the jobs that began ended, in their order."""
        sent = {job.number: job for job in jobs}
        returned: dict[int, JobReturn] = {}
        for number, job in sent.items():
            if number in returned:
                continue
            if self.stops_on_failure and has_failed(returned.values()):
                break
            group = self._grouping.of(number) if self._grouping is not None else None
            if group is None:
                returned[number] = job()
            else:
                returned |= self._together(group, sent)
            configure_log(self.config.hydra.hydra_logging, self.config.hydra.verbose)
        return [returned[number] for number in sorted(returned)]

    def _together(self, group: Together, sent: Mapping[int, SentJob]) -> dict[int, JobReturn]:
        from legoloop.app.sweep.together import TogetherRun

        assert self._programs is not None
        rows = {row: sent[n] for row, n in enumerate(group.numbers) if n in sent}
        program = self._programs.of(group)
        return TogetherRun(rows, program.host, program.group, self._programs.share).run()

    def _grouped(self, jobs: Sequence[int]) -> Grouping:
        """All jobs of the sweep that are known, or else those that are given now, in groups.

        Of a resumed sweep those that have completed belong to the groups too, with rows that stay
        empty: so the others end with the bits that they would have had.
        """
        from legoloop.app.sweep.grouping import grouped
        from legoloop.app.sweep.programs import Programs

        blueprints = self._blueprints()
        known = {n: blueprints[n] for n in blueprints if n in jobs or self._knows_all}
        self._programs = Programs(known)
        reason = self._why_none()
        if reason is not None:
            from legoloop.app.sweep.grouping import Grouping

            return Grouping((), dict.fromkeys(jobs, reason))
        return self._programs.checked(grouped(known, self._most), jobs)

    def _blueprints(self) -> Mapping[int, Blueprint]:
        from legoloop.app.sweep.job import JobTask

        return self.task.blueprints if isinstance(self.task, JobTask) else {}

    @property
    def _knows_all(self) -> bool:
        """Whether the sweeper knew all jobs from the beginning, as one that searches does not."""
        return bool(getattr(self.task, "knows_all", False))

    def _why_none(self) -> str | None:
        task: Any = getattr(self.task, "task", None)
        if not getattr(task, "is_one_run", False):
            return "the program is not legoloop.run"
        job = self.config.hydra.job
        if job.chdir:
            return "hydra.job.chdir is true"
        if OmegaConf.to_container(job.env_set):
            return "hydra.job.env_set is given"
        return None
