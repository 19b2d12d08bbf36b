"""The weights that a schedule-free optimizer evaluates, beside those that it trains."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import nn

from legoloop.core.shards import whole

_KNOWN: WeakKeyDictionary[nn.Module, EvaluatedWeights] = WeakKeyDictionary()
"""By the model that is trained."""


class EvaluatedWeights:
    """Calls ``train()`` and ``eval()`` of an optimizer that has them, as schedule-free ones do.

    Such an optimizer takes gradients at other weights than those that it means to be used. While
    the model is evaluated, its parameters are the latter; afterwards they have the former again,
    to the last bit, which two calls of the optimizer alone would not give.

    Args:
        opt (torch.optim.Optimizer): has ``train()`` and ``eval()``; begins in no mode.

    >>> class Halving(torch.optim.SGD):
    ...     def train(self): self.param_groups[0]["params"][0].data *= 2
    ...     def eval(self): self.param_groups[0]["params"][0].data /= 2
    >>> model = nn.Linear(1, 1, bias=False)
    >>> _ = model.weight.data.fill_(3.0)
    >>> evaluated = EvaluatedWeights.of(model, Halving(model.parameters()))
    >>> evaluated.train()
    >>> with evaluated_weights(model):
    ...     model.weight.item()
    3.0
    >>> model.weight.item()
    6.0
    """

    def __init__(self, opt: Any) -> None:
        self.opt = opt
        self.is_training = False

    @classmethod
    def of(cls, model: nn.Module, opt: torch.optim.Optimizer) -> EvaluatedWeights | None:
        """Those of the optimizer of a model; None for one that trains what it evaluates."""
        if not all(callable(getattr(opt, mode, None)) for mode in ("train", "eval")):
            return None
        _KNOWN[model] = made = cls(opt)
        return made

    def train(self) -> None:
        """The parameters are those that the optimizer takes gradients at, unless they are."""
        if not self.is_training:
            self.opt.train()
            self.is_training = True

    def eval(self) -> None:
        """The parameters are those to be used, for good, unless they are."""
        if self.is_training:
            self.opt.eval()
            self.is_training = False

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Inside, the parameters are those to be used."""
        if not self.is_training:
            yield
            return
        parameters = [p.detach() for group in self.opt.param_groups for p in group["params"]]
        trained = [parameter.clone() for parameter in parameters]
        self.eval()
        try:
            yield
        finally:
            self.train()
            for parameter, value in zip(parameters, trained, strict=True):
                parameter.copy_(value)

    def state_dict(self, model: nn.Module) -> dict[str, Any]:
        """Which weights the parameters are, and those to be used if these are others."""
        state: dict[str, Any] = {"is_training": self.is_training}
        if self.is_training:
            with self.in_use():
                evaluated: dict[str, Any] = whole(model.state_dict())
                state["evaluated_model"] = {
                    name: value.clone() if isinstance(value, torch.Tensor) else value
                    for name, value in evaluated.items()
                }
        return state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The weights and the optimizer are loaded by whoever owns them."""
        self.is_training = state.get("is_training", False)


@contextmanager
def evaluated_weights(model: nn.Module) -> Iterator[None]:
    """Inside, a model that a schedule-free optimizer trains has the weights to be used.

    Args:
        model (nn.Module): the model, or one that has it as a part.

    >>> with evaluated_weights(nn.Linear(1, 1)): pass
    """
    with ExitStack() as stack:
        for module in model.modules() if _KNOWN else ():
            if module in _KNOWN:
                stack.enter_context(_KNOWN[module].in_use())
        yield


def use_evaluated_weights(model: nn.Module) -> None:
    """Give a model the weights to be used for good, before it is given others.

    Args:
        model (nn.Module): the model.

    >>> use_evaluated_weights(nn.Linear(1, 1))
    """
    if model in _KNOWN:
        _KNOWN[model].eval()
