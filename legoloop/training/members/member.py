"""A member of a group: a host whose model lies in a row while it is in the batches of an epoch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
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
from legoloop.training.members.row_steps import Row, has_kernel, take_row_step
from legoloop.training.step.nonfinite_guard import ObserveLoss

if TYPE_CHECKING:
    from legoloop.training.members.program import Made
    from legoloop.training.members.shared_rows import ParameterRows, SharedRows
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
        self._rows = rows
        self._model = self.descent.model
        self._structure = structure
        self._own: list[torch.Tensor] = []
        self._own_buffers: dict[str, torch.Tensor] = {}
        self._own_snapshots: list[Any] = []
        self._groups = [_GroupOfRow(each, number) for each in rows.groups]
        self._made: Made | None = None
        self._error: Exception | None = None
        self._loss = nan

    @property
    def position(self) -> int:
        """How many batches its stream has served."""
        return int(self.stream.position)

    def take(self, made: Made, loss: float) -> None:
        """What was made for all, and its own loss."""
        self._made, self._loss = made, loss

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

    def take_finite_step(self, step: MemberStep) -> bool:
        """All that the guard does where the loss is finite; False: it has to do it itself."""
        value = self._loss
        if self._error is not None or not isfinite(value) or self.descent.guard.gradients:
            return False
        step.take(self._taken(), self.number)
        step.loss_float = value
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
        descent = self.descent
        opt: Any = descent.opt
        kind = type(opt)
        for group, settings in zip(self._groups, opt.param_groups, strict=True):
            if descent.clip is not None:
                group.see_gradients()
            group.take_step(kind, settings)
        opt._opt_called = True  # as schedulers want to know

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


class _GroupOfRow:
    """One parameter group of a member: its weights, gradients and moments, in a row."""

    def __init__(self, rows: ParameterRows, number: int) -> None:
        self._weights: list[torch.Tensor] = rows.weights.of(number)
        self._gradients: list[torch.Tensor] = rows.gradients.of(number)
        self._moments: dict[str, list[torch.Tensor]] = {
            name: moment.of(number) for name, moment in rows.moments.items()
        }
        self._row: Row = {
            "weight": [rows.weights.matrix[number]],
            "gradient": [rows.gradients.matrix[number]],
            "step": [rows.steps[number]],
            **{name: [moment.matrix[number]] for name, moment in rows.moments.items()},
        }
        self._is_fused = has_kernel(rows.kind, rows.weights.matrix.device)
        self._parameters: list[torch.Tensor] = []
        self._own: list[torch.Tensor] = []
        self._has_moments = False

    @torch.no_grad()
    def join(self, parameters: list[torch.Tensor], opt: torch.optim.Optimizer) -> None:
        self._parameters = parameters
        self._own = [parameter.data for parameter in parameters]
        torch._foreach_copy_(self._weights, self._own)
        for number, parameter in enumerate(parameters):
            parameter.data = self._weights[number]
            parameter.grad = self._gradients[number]
        states = [opt.state.get(parameter) or {} for parameter in parameters]
        steps = {float(state["step"]) for state in states if "step" in state}
        names = [name for name in self._moments if states and states[0].get(name) is not None]
        has = {tuple(state.get(name) is not None for name in self._moments) for state in states}
        if len(steps) > 1 or len(has) > 1:
            raise DataError(
                "some of the parameters were trained for fewer steps than others, so they cannot "
                "be trained as one row; launch this run with hydra/launcher=basic"
            )
        self._has_moments = bool(names)
        self._row["step"][0].fill_(steps.pop() if steps else 0.0)
        for name in names:
            torch._foreach_copy_(self._moments[name], [state[name] for state in states])

    @torch.no_grad()
    def leave(self, opt: torch.optim.Optimizer) -> None:
        parameters = self._parameters
        if not parameters:
            return
        torch._foreach_copy_(self._own, self._weights)
        for parameter, own in zip(parameters, self._own, strict=True):
            gradient = parameter.grad
            parameter.data = own
            parameter.grad = None if gradient is None else gradient.clone()
        self._parameters = []
        if self._has_moments:
            for number, parameter in enumerate(parameters):
                state = opt.state[parameter]
                if type(opt) is not torch.optim.SGD:
                    _put(state, "step", _step_like(self._row["step"][0], opt, parameter))
                for name, moments in self._moments.items():
                    _put(state, name, moments[number])

    def see_gradients(self) -> None:
        """A clip of the user's own may have put others in the place of those in the row."""
        for parameter, gradient in zip(self._parameters, self._gradients, strict=True):
            if parameter.grad is not gradient:
                gradient.copy_(parameter.grad)  # type: ignore[arg-type]
                parameter.grad = gradient

    def take_step(self, kind: type[torch.optim.Optimizer], settings: Mapping[str, Any]) -> None:
        is_first = not self._has_moments
        take_row_step(kind, self._row, settings, is_first, self._is_fused)
        if is_first:
            self._has_moments = kind is not torch.optim.SGD or settings["momentum"] != 0


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


def _put(state: dict[str, Any], name: str, value: torch.Tensor) -> None:
    own = state.get(name)
    if own is None:
        state[name] = value.clone()
    else:
        own.copy_(value)


def _step_like(
    step: torch.Tensor, opt: torch.optim.Optimizer, parameter: torch.Tensor
) -> torch.Tensor:
    """Where torch keeps the number of steps."""
    if opt.defaults.get("fused") or opt.defaults.get("capturable"):
        return step.to(parameter.device)
    is_double = torch.get_default_dtype() == torch.float64
    return step.to("cpu", torch.float64 if is_double else torch.float32)
