"""A parameter group of a member in its row, and steps of several of them at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch

from legoloop.core.errors import DataError
from legoloop.training.members.row_steps import Row, has_kernel, numbers_of, take_row_steps

if TYPE_CHECKING:
    from legoloop.training.members.shared_rows import ParameterRows


class ParameterRow:
    """One parameter group of a member: its weights, gradients and moments, in a row.

    Args:
        rows (ParameterRows): those of all members.
        number (int): which of them.

    Attributes:
        row: what the optimizer steps on.
        has_moments: whether the optimizer has made the moments.
        is_fused: whether a kernel makes its steps.
    """

    def __init__(self, rows: ParameterRows, number: int) -> None:
        self._weights: list[torch.Tensor] = rows.weights.of(number)
        self._gradients: list[torch.Tensor] = rows.gradients.of(number)
        self._moments: dict[str, list[torch.Tensor]] = {
            name: moment.of(number) for name, moment in rows.moments.items()
        }
        self.row: Row = {
            "weight": rows.weights.matrix[number],
            "gradient": rows.gradients.matrix[number],
            "step": rows.steps[number],
            **{name: moment.matrix[number] for name, moment in rows.moments.items()},
        }
        self.is_fused = has_kernel(rows.kind, rows.weights.matrix.device)
        self._parameters: list[torch.Tensor] = []
        self._own: list[torch.Tensor] = []
        self.has_moments = False

    @torch.no_grad()
    def join(self, parameters: list[torch.Tensor], opt: torch.optim.Optimizer) -> None:
        """Put parameters, and the moments that their optimizer has, into the row."""
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
        self.has_moments = bool(names)
        self.row["step"].fill_(steps.pop() if steps else 0.0)
        for name in names:
            torch._foreach_copy_(self._moments[name], [state[name] for state in states])

    @torch.no_grad()
    def leave(self, opt: torch.optim.Optimizer) -> None:
        """Give the parameters and their optimizer tensors of their own."""
        parameters = self._parameters
        if not parameters:
            return
        torch._foreach_copy_(self._own, self._weights)
        for parameter, own in zip(parameters, self._own, strict=True):
            gradient = parameter.grad
            parameter.data = own
            parameter.grad = None if gradient is None else gradient.clone()
        self._parameters = []
        if self.has_moments:
            for number, parameter in enumerate(parameters):
                state = opt.state[parameter]
                if type(opt) is not torch.optim.SGD:
                    _put(state, "step", _step_like(self.row["step"], opt, parameter))
                for name, moments in self._moments.items():
                    _put(state, name, moments[number])

    def see_gradients(self) -> None:
        """A clip of the user's own may have put others in the place of those in the row."""
        for parameter, gradient in zip(self._parameters, self._gradients, strict=True):
            if parameter.grad is not gradient:
                gradient.copy_(parameter.grad)  # type: ignore[arg-type]
                parameter.grad = gradient


Stepped = tuple[torch.optim.Optimizer, Sequence[ParameterRow]]
"""An optimizer, and a row for each of its parameter groups."""


def step_optimizers(stepped: Sequence[Stepped]) -> None:
    """Step the rows of several members, those of the same settings at once."""
    kind = type(stepped[0][0])
    for number in range(len(stepped[0][1])):
        alike: dict[Any, list[tuple[ParameterRow, dict[str, Any]]]] = {}
        for opt, rows in stepped:
            settings = opt.param_groups[number]
            key = numbers_of(kind, settings), rows[number].has_moments
            alike.setdefault(key, []).append((rows[number], settings))
        for (_, has_moments), those in alike.items():
            row, settings = those[0]
            each = [row.row for row, _ in those]
            take_row_steps(kind, each, settings, not has_moments, row.is_fused)
            for row, _ in those:
                row.has_moments |= kind is not torch.optim.SGD or settings["momentum"] != 0
    for opt, _ in stepped:
        opt._opt_called = True  # type: ignore[attr-defined]  # as schedulers want to know


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
