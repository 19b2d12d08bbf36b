"""Parts of a model that do not learn, or not yet."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from torch import nn

from legoloop.core.arguments import at_least
from legoloop.core.errors import ArgumentError
from legoloop.core.protocols import TrainingProgress
from legoloop.training.param_groups import matching
from legoloop.training.shorten import shorten


class HasModel(Protocol):
    """A descent."""

    model: nn.Module


class Freeze:
    """Keeps parts of a descent's model as they are, for the first epochs or always.

    ``names`` are patterns, such as ``backbone.*``, for the names of parameters and buffers. While
    frozen, a parameter gets no gradient, so that the optimizer leaves it alone, decay and momentum
    included; and a module with a frozen buffer, such as a batch norm, evaluates instead of
    changing it. After so many ``epochs`` both learn again, None: never. Parameters that need no
    gradient when this is made stay so.

    Raises ArgumentError if a pattern fits nothing, or if nothing is left to learn.

    >>> import torch
    >>> from legoloop.training.counter import Counter
    >>> from legoloop.training.step.descent import GradientDescent
    >>> model = nn.ModuleDict({"body": nn.Linear(1, 1), "head": nn.Linear(1, 1)})
    >>> descent = GradientDescent(torch.optim.SGD(model.parameters()), model, feed=None, loss=None)
    >>> counter = Counter()
    >>> freeze = Freeze(descent, counter, ["body.*"], epochs=1)
    >>> freeze.train_start()
    >>> [weight.requires_grad for weight in model.parameters()]
    [False, False, True, True]
    >>> counter.epoch_end(); freeze.epoch_start()
    >>> [weight.requires_grad for weight in model.parameters()]
    [True, True, True, True]
    """

    def __init__(
        self,
        descent: HasModel,
        counter: TrainingProgress,
        names: Iterable[str],
        epochs: int | None = None,
    ) -> None:
        names = [names] if isinstance(names, str) else list(names)
        if epochs is not None:
            at_least(0, epochs=epochs)
        self.descent = descent
        self.counter = counter
        self.epochs = epochs
        model = descent.model
        everything = dict([*model.named_parameters(), *model.named_buffers()])
        if not names:
            raise ArgumentError("names is empty; give patterns such as backbone.*")
        for pattern in names:
            if not any(matching(everything.items(), [pattern])):
                raise ArgumentError(
                    f"names has '{pattern}', which fits nothing; there are {shorten([*everything])}"
                )
        learning = {weight for weight in model.parameters() if weight.requires_grad}
        fitting = matching(model.named_parameters(remove_duplicate=False), names)
        self._parameters = learning & {weight for _, weight in fitting}
        if self._parameters == learning:
            raise ArgumentError("names leaves nothing to learn; give patterns that fit less")
        self._modules = [
            module
            for path, module in model.named_modules()
            if any(matching(module.named_buffers(path, recurse=False), names))
        ]

    def train_start(self) -> None:
        """A resumed run may be in the middle of an epoch."""
        self._set()

    def epoch_start(self) -> None:
        """It may be time to let them learn."""
        self._set()

    def close(self) -> None:
        """The run is over: another one begins with a model that learns."""
        self._let_learn(True)

    def _set(self) -> None:
        self._let_learn(self.epochs is not None and self.counter.epochs >= self.epochs)

    def _let_learn(self, learns: bool) -> None:
        for weight in self._parameters:
            weight.requires_grad_(learns)
        for module in self._modules:
            module.training = learns
