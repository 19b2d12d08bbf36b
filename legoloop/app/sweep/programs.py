"""The program of each group of jobs: tried out before the jobs begin, with what it needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from legoloop.app.config.blueprint import Blueprint
from legoloop.app.run.lifecycle import prepare
from legoloop.app.sweep.compose_jobs import share_datasets
from legoloop.app.sweep.grouping import Grouping, Together, chunks, program_values
from legoloop.app.sweep.process_state import preserve_process_state
from legoloop.core.errors import ConfigError
from legoloop.core.rng import derived_seed
from legoloop.loop.host import TrainingHost
from legoloop.training.members.group import Group
from legoloop.training.members.memory import bytes_of_a_member, free_bytes, shown_bytes
from legoloop.training.members.program import Program
from legoloop.training.members.support import descent_of, why_not_a_row


@dataclass
class GroupProgram:
    """What a group of jobs runs on.

    Args:
        host: of one of its jobs, which is never run; its model is the structure of all.
        program: runs all rows.
        size: how many rows it has.
        seed: of what the models draw.
    """

    host: TrainingHost
    program: Program
    size: int
    seed: int

    def group(self) -> Group:
        """The rows of the group, which are empty."""
        return Group(self.program, _descent(self.host), self.size, self.seed)


class Programs:
    """The programs of the groups of a sweep.

    Args:
        blueprints: of the jobs, by number.

    Attributes:
        lines: what there is to tell of them.
    """

    def __init__(self, blueprints: Mapping[int, Blueprint]) -> None:
        self.lines: list[str] = []
        self._blueprints = blueprints
        self._found: dict[Together, tuple[TrainingHost, Program]] = {}
        self._tried: dict[str, tuple[TrainingHost, Program] | str] = {}
        self._read: dict[str, Any] = {}

    def share(self, app: Any, blueprint: Blueprint) -> None:
        """Give an app the data sets that were read for a job before it from equal nodes."""
        share_datasets(app, blueprint, self._read)

    def of(self, group: Together) -> GroupProgram:
        """The program of a group."""
        seed = derived_seed("members", *(self._blueprints[n].settings.seed for n in group.numbers))
        return GroupProgram(*self._found[group], len(group.numbers), seed)

    def checked(self, grouping: Grouping, jobs: Sequence[int]) -> Grouping:
        """The groups whose program can be run, cut to what fits into memory; the others alone.

        Args:
            grouping: by what the blueprints tell.
            jobs: those that are to be carried out; groups without one are left out.
        """
        alone = {n: reason for n, reason in grouping.alone.items() if n in jobs}
        groups: list[Together] = []
        for group in grouping.groups:
            wanted = [number for number in group.numbers if number in jobs]
            if not wanted:
                continue
            found = self._try(self._blueprints[wanted[0]], len(group.numbers))
            if isinstance(found, str):
                alone |= dict.fromkeys(wanted, found)
                continue
            for part in self._fitting(group, found[0]):
                if set(part.numbers) & set(jobs) and len(part.numbers) > 1:
                    groups.append(part)
                    self._found[part] = found
                else:
                    alone |= {n: "no other fits beside it" for n in part.numbers if n in jobs}
        return replace(grouping, groups=tuple(groups), alone=dict(sorted(alone.items())))

    def _try(self, blueprint: Blueprint, size: int) -> tuple[TrainingHost, Program] | str:
        """A host with the program of a blueprint, or why it cannot be one of so many rows.

        That of jobs whose programs are alike is built once, and compiled once.
        """
        key = repr(sorted(program_values(blueprint).items()))
        with preserve_process_state():
            if key not in self._tried:
                self._tried[key] = self._built(blueprint)
            found = self._tried[key]
            reason = found if isinstance(found, str) else why_not_a_row(found[0], size)
        return found if reason is None else reason

    def _built(self, blueprint: Blueprint) -> tuple[TrainingHost, Program] | str:
        try:
            prepared = prepare(blueprint, self.share)
        except ConfigError as error:
            return str(error)
        if prepared.host is None:
            return f"it cannot be built: {prepared.problem}"
        if (reason := why_not_a_row(prepared.host)) is not None:
            return reason
        descent = _descent(prepared.host)
        return prepared.host, Program(descent.feed, descent.loss, descent.compiles)

    def _fitting(self, group: Together, host: TrainingHost) -> Sequence[Together]:
        """The group in parts that fit into memory, with a line for the user if it is cut."""
        with preserve_process_state():
            each = bytes_of_a_member(host)
        free = free_bytes(_descent(host).feed.device)
        size = len(group.numbers)
        self.lines.append(
            f"memory: {size} times {shown_bytes(each)}, {shown_bytes(size * each)}"
            + ("" if free is None else f" of {shown_bytes(free)}")
        )
        fits = size if free is None else max(1, free // max(1, each))
        if fits >= size:
            return [group]
        self.lines.append(f"members is cut to {fits}, which is what fits")
        return [Together(tuple(part)) for part in chunks(group.numbers, fits)]


def _descent(host: TrainingHost) -> Any:
    return host.plan.plugins[str(descent_of(host))]
