"""Several hosts trained in lock-step as one program."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from legoloop.core.index_batch import IndexBatch
from legoloop.core.rng import derived_seed, reseed_generators
from legoloop.loop.host import TrainingHost
from legoloop.training.members.member import Member, structure_of
from legoloop.training.members.parameter_row import step_optimizers
from legoloop.training.members.program import Program
from legoloop.training.members.shared_rows import SharedRows
from legoloop.training.step.descent import GradientDescent

Advance = Callable[[], bool]
"""Lets a host go on to its next halt; False: it has ended."""


class Group:
    """Members that are trained together: one forward and backward pass for all of them.

    A member that ended leaves its row empty, and one that is ahead of the others waits: what a
    member computes depends on its row and on their number alone, so that a group that is resumed,
    with whatever members are left, ends with the bits of one that was never interrupted.

    Args:
        program (Program): runs the members' model and loss.
        like (GradientDescent): of one of them, to lay out the rows by.
        size (int): how many rows there are.
        seed (int): of what the model draws, such as the masks of a dropout.
    """

    def __init__(self, program: Program, like: GradientDescent, size: int, seed: int) -> None:
        self.program = program
        self.size = size
        self.passes = 0
        self._seed = seed
        self._carried: list[str] = []
        self._members: dict[int, Member] = {}
        self.rows = SharedRows(like, size)
        self._structure = structure_of(program.feed.model)

    def member(
        self, number: int, host: TrainingHost, plugin: str, numbers: Mapping[str, float] = {}
    ) -> Member:
        """What a host meets the others with: it is given to ``host.stepped``.

        Args:
            number: its row.
            host: the host.
            plugin: the name of its GradientDescent.
            numbers: attributes of the loss of which each member has its own.
        """
        member = Member(self.rows, number, host, plugin, self._structure)
        member.numbers = dict(numbers)
        self._members[number] = member
        return member

    def run(self, advances: Mapping[int, Advance]) -> None:
        """Train until all have ended.

        Args:
            advances: by the number of a member, what lets its host go on to its next halt.
        """
        waiting = [number for number, advance in advances.items() if advance()]
        while waiting:
            chosen = self._next(waiting)
            try:
                self._pass([self._members[number] for number in chosen])
            except Exception as error:
                chosen = self._to_blame(chosen, error)
            ended = {number for number in chosen if not advances[number]()}
            waiting = [number for number in waiting if number not in ended]

    def _to_blame(self, chosen: Sequence[int], error: Exception) -> list[int]:
        """Those that a pass fails for are given its error; the others make the next one.

        They are those whose batches fail alone, too, such as for a wrong label; or else all.
        """
        for number in range(self.size):
            self.rows.restore_buffers(number)
        guilty = [number for number in chosen if self._members[number].fails_alone()]
        for number in guilty or chosen:
            self._members[number].take_error(error)
        return guilty or list(chosen)

    def _next(self, waiting: Sequence[int]) -> list[int]:
        """Those that are furthest behind, with batches of one shape."""
        positions = {number: self._members[number].position for number in waiting}
        first = min(positions.values())
        behind = [number for number in waiting if positions[number] == first]
        shapes = {number: _shapes(self._members[number].step.unread_batch) for number in behind}
        return [number for number in behind if shapes[number] == shapes[behind[0]]]

    def _pass(self, members: Sequence[Member]) -> None:
        """The gradients of these members; the rows of all others stay as they are."""
        columns, is_taken = self._columns(members)
        moved = self.program.feed.moved(columns)
        numbers = {
            name: self._number_column(name, members, next(iter(self.rows.weights.values())))
            for name in members[0].numbers
        }
        rows = self.rows
        rows.save_buffers()
        reseed_generators(derived_seed(self._seed, members[0].position) % 2**32)
        made = self.program.run(rows.weights, rows.constants, moved, numbers)
        self.passes += 1
        taking = {member.number for member in members}
        for number in set(range(self.size)) - taking:
            rows.restore_buffers(number)
        rows.take_gradients(made.gradients)
        losses = made.means.tolist()
        for member in members:
            member.take(made, losses[member.number])
            if is_taken or any(moved[name] is not columns[name] for name in moved):
                member.take_batch(moved)
        if at_once := [member for member in members if member.steps_with_others]:
            step_optimizers([member.stepped for member in at_once])
            for member in at_once:
                member.has_stepped = True

    def _columns(self, members: Sequence[Member]) -> tuple[dict[str, torch.Tensor], bool]:
        """The columns of all batches, and whether they were fetched here, all at once.

        The rows of members that take no part are given the batch of another.
        """
        batches: list[Any] = [members[0].step.unread_batch] * self.size
        for member in members:
            batches[member.number] = member.step.unread_batch
        rows = getattr(batches[0], "rows", None)
        if all(type(batch) is IndexBatch and batch.rows == rows for batch in batches):
            indices = torch.stack([batch.indices for batch in batches])
            columns = batches[0].rows(indices.flatten())
            return {k: v.unflatten(0, indices.shape) for k, v in columns.items()}, True
        for member in members:
            batches[member.number] = member.step.batch
        first = members[0].step.batch
        batches = [first if type(batch) is IndexBatch else batch for batch in batches]
        return {
            name: torch.stack([batch[name] for batch in batches])
            for name, value in first.items()
            if isinstance(value, torch.Tensor)
        }, False

    def _number_column(
        self, name: str, members: Sequence[Member], like: torch.Tensor
    ) -> torch.Tensor:
        column = [members[0].numbers[name]] * self.size
        for member in members:
            column[member.number] = member.numbers[name]
        return torch.tensor(column, dtype=like.dtype, device=like.device)


def _shapes(batch: Any) -> list[Any]:
    if type(batch) is IndexBatch:
        return [batch.rows, batch.num_samples]
    return [
        (name, value.shape, value.dtype)
        for name, value in batch.items()
        if isinstance(value, torch.Tensor)
    ]
