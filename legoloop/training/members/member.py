"""A member of a group: a host whose model lies in a row while it is in the batches of an epoch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from math import isfinite, nan
from typing import TYPE_CHECKING, Any

import torch

from legoloop.core.batch_size import DefaultBatchDesc, with_columns
from legoloop.core.errors import DataError
from legoloop.core.eval_mode import evaluation_mode
from legoloop.core.index_batch import IndexBatch
from legoloop.core.protocols import Batch
from legoloop.loop.host import TrainingHost
from legoloop.loop.step import Step
from legoloop.training.members.member_step import MemberStep, cut
from legoloop.training.members.parameter_row import ParameterRow, Stepped, step_optimizers
from legoloop.training.step.nonfinite_guard import ObserveLoss

if TYPE_CHECKING:
    from legoloop.training.members.program import Made
    from legoloop.training.members.shared_rows import SharedRows
    from legoloop.training.step.descent import GradientDescent


class Member:
    """What a host has of its group: it meets the others before its descent's ``batch`` hook.

    Within the batches of an epoch its parameters, gradients, buffers and moments are views of its
    row, so that its own plugins read and change them as ever; before anything is saved, and when
    the batches are over, it has its own tensors back, with the values of the row.

    Args:
        rows (SharedRows): those of its group.
        number (int): its row.
        host (TrainingHost): what it trains.
        plugin (str): the name of its GradientDescent.
        structure: that of the model of the program, which its own must have.
    """

    def __init__(
        self,
        rows: SharedRows,
        number: int,
        host: TrainingHost,
        plugin: str,
        structure: Sequence[Any],
    ) -> None:
        self.plugin = plugin
        self.step = MemberStep()
        self.descent: GradientDescent = host.plan.plugins[plugin]  # type: ignore[assignment]
        driver: Any = host.plan.plugins[host.plan.driver]
        self.stream = driver.train_iterator
        sizes_samples = isinstance(getattr(driver, "batch_desc", None), DefaultBatchDesc)
        if sizes_samples and getattr(self.stream, "can_hand_out_indices", False):
            self.stream.hands_out_indices = True
        self.number = number
        self.numbers: dict[str, float] = {}
        self.has_stepped = False
        self._rows = rows
        self._model = self.descent.model
        self._structure = structure
        self._own: list[torch.Tensor] = []
        self._own_buffers: dict[str, torch.Tensor] = {}
        self._own_snapshots: list[Any] = []
        self._groups = [ParameterRow(each, number) for each in rows.groups]
        self._made: Made | None = None
        self._error: Exception | None = None
        self._loss = nan

    @property
    def position(self) -> int:
        """How many batches its stream has served."""
        return int(self.stream.position)

    def take(self, made: Made, loss: float) -> None:
        """What was made for all, and its own loss."""
        self._made, self._loss, self.has_stepped = made, loss, False

    def take_batch(self, batch: Batch) -> None:
        """The columns of all batches, on the device: the step's own are its part of them."""
        own = self.step.unread_batch
        if isinstance(own, IndexBatch):
            self.step.take_batch(batch, self.number)
        else:
            self.step.batch = with_columns(own, {**own, **cut(batch, self.number)})

    def fails_alone(self) -> bool:
        """Whether model or loss raise for its batch; that is the error it is given then."""
        with evaluation_mode(self._model):
            try:
                self.descent.checked_forward(self.step.batch)
            except Exception as error:
                self._error = error
        return self._error is not None

    def take_error(self, error: Exception) -> None:
        """The pass that it was to take part in has failed."""
        self._error = self._error or error

    @property
    def stepped(self) -> Stepped:
        """What a step of its optimizer is made on."""
        return self.descent.opt, self._groups

    @property
    def steps_with_others(self) -> bool:
        """Whether nothing comes between its loss and the step of its optimizer."""
        return self._allows_step and self.descent.clip is None

    @property
    def _allows_step(self) -> bool:
        """What the guard does where the loss is finite needs no guard."""
        is_finite = self._error is None and isfinite(self._loss)
        return is_finite and not self.descent.guard.gradients

    def take_finite_step(self, step: MemberStep) -> bool:
        """All that the guard does where the loss is finite; False: it has to do it itself."""
        if not self._allows_step:
            return False
        step.take(self._taken(), self.number)
        step.loss_float = self._loss
        if not self.has_stepped:
            self.descent.optimizer_step()
        return True

    def compute_gradients(self, step: Step, observe_loss: ObserveLoss) -> torch.Tensor:
        """They lie in its row already; the step is filled with its part."""
        if self._error is not None:
            raise self._error
        made = self._taken()
        self.step.take(made, self.number)
        observe_loss(made.means[self.number])
        return made.losses[self.number]

    def _taken(self) -> Made:
        made, self._made = self._made, None
        assert made is not None, "the group makes the pass first"
        return made

    def optimizer_step(self) -> None:
        """Step its row, with the settings of its own optimizer as they are now."""
        if self.descent.clip is not None:
            for group in self._groups:
                group.see_gradients()
        step_optimizers([self.stepped])

    def __enter__(self) -> None:
        """Put parameters, gradients, moments and buffers into the row."""
        self._check_structure()
        shared, number, model = self._rows, self.number, self._model
        parameters = dict(model.named_parameters())
        for name, stacked in shared.frozen.items():
            stacked[number].copy_(parameters[name].detach())
        for rows, settings in zip(self._groups, self.descent.opt.param_groups, strict=True):
            rows.join([p for p in settings["params"] if p.requires_grad], self.descent.opt)
        for name, stacked in shared.buffers.items():
            owner, own = _buffer_of(model, name)
            self._own_buffers[name] = buffer = owner[own]
            stacked[number].copy_(buffer)
            owner[own] = stacked[number]
        self._own_snapshots = self.descent.buffers
        if self.descent.guard.undoes_steps and shared.buffers:
            self.descent.buffers = [RowOfBuffers(shared, number)]  # type: ignore[list-item]
        self.descent.member = self

    def __exit__(self, *error: object) -> None:
        """Give the host tensors of its own, with the values of the row."""
        self.descent.member = None
        self.descent.buffers = self._own_snapshots
        for name, buffer in self._own_buffers.items():
            owner, own = _buffer_of(self._model, name)
            buffer.copy_(owner[own])
            owner[own] = buffer
        self._own_buffers = {}
        for rows in self._groups:
            rows.leave(self.descent.opt)

    @contextmanager
    def left(self) -> Iterator[None]:
        """While inside, the host has tensors of its own."""
        self.__exit__()
        try:
            yield
        finally:
            self.__enter__()

    def _check_structure(self) -> None:
        """The program was made for the model as it was."""
        if structure_of(self._model) != self._structure:
            raise DataError(
                "a plugin has changed which parameters are trained, which modules are in training "
                "mode, or has registered hooks in the model, and the runs that are trained as one "
                "program would not notice; launch this one with hydra/launcher=basic"
            )


class RowOfBuffers:
    """The buffers of a member, as they were before the last pass of its group."""

    def __init__(self, rows: SharedRows, number: int) -> None:
        self._rows = rows
        self._number = number

    def save(self) -> None:
        """The group has saved those of all members."""

    def restore(self) -> None:
        """Put them back."""
        self._rows.restore_buffers(self._number)


def structure_of(model: torch.nn.Module) -> list[Any]:
    """What the program of a model depends on, besides its tensors."""
    return [
        [parameter.requires_grad for parameter in model.parameters()],
        [
            (
                module.training,
                len(module._forward_hooks),
                len(module._forward_pre_hooks),
                len(module._backward_hooks),
                len(module._backward_pre_hooks),
                [name for name, buffer in module._buffers.items() if buffer is not None],
            )
            for module in model.modules()
        ],
        [_has_hooks(parameter) for parameter in model.parameters()],
    ]


def _has_hooks(parameter: torch.Tensor) -> bool:
    hooks: Any = getattr(parameter, "_post_accumulate_grad_hooks", None)
    return bool(parameter._backward_hooks) or bool(hooks)


def _buffer_of(model: torch.nn.Module, name: str) -> tuple[dict[str, Any], str]:
    """The dict that holds a buffer, and the name that it has there."""
    path, _, own = name.rpartition(".")
    return model.get_submodule(path)._buffers, own
