"""Freezing parts of a model."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from torch import nn

from legoloop.core.arguments import at_least
from legoloop.core.errors import ArgumentError
from legoloop.core.protocols import TrainingProgress
from legoloop.core.text import shorten
from legoloop.training.param_groups import matching


class HasModel(Protocol):
    """A descent."""

    model: nn.Module


class FreezableParts:
    """The parameters and buffers of a model that match a pattern, to be frozen and thawed.

    Parameters that do not require a gradient at the start stay frozen.

    Args:
        model: the model.
        patterns: patterns for names of parameters and buffers, such as ``backbone.*``.

    Raises ArgumentError if a pattern matches nothing, or if no parameter is left to train.

    >>> model = nn.ModuleDict({"body": nn.Linear(1, 1), "head": nn.Linear(1, 1)})
    >>> FreezableParts(model, ["body.*"]).set_trainable(False)
    >>> [name for name, weight in model.named_parameters() if weight.requires_grad]
    ['head.weight', 'head.bias']
    """

    def __init__(self, model: nn.Module, patterns: Iterable[str]) -> None:
        patterns = [patterns] if isinstance(patterns, str) else list(patterns)
        named = dict([*model.named_parameters(), *model.named_buffers()])
        if not patterns:
            raise ArgumentError(
                "is empty", argument="patterns", remedy="give patterns such as backbone.*"
            )
        for pattern in patterns:
            if not any(matching(named.items(), [pattern])):
                raise ArgumentError(
                    f"has '{pattern}', which matches nothing",
                    argument="patterns",
                    remedy=f"there are {shorten([*named])}",
                )
        trainable = {weight for weight in model.parameters() if weight.requires_grad}
        matched = matching(model.named_parameters(remove_duplicate=False), patterns)
        self._parameters = trainable & {weight for _, weight in matched}
        if self._parameters == trainable:
            raise ArgumentError(
                "leaves no parameter to train",
                argument="patterns",
                remedy="give more specific ones",
            )
        self._modules = [
            module
            for path, module in model.named_modules()
            if any(matching(module.named_buffers(path, recurse=False), patterns))
        ]

    def set_trainable(self, is_trainable: bool) -> None:
        """Thaw or freeze them: a module with a frozen buffer is in evaluation mode."""
        for weight in self._parameters:
            weight.requires_grad_(is_trainable)
        for module in self._modules:
            module.training = is_trainable


class Freeze:
    """Freezes parameters and buffers of a descent's model, for the first epochs or always.

    A frozen parameter gets no gradient, so the optimizer leaves it unchanged, weight decay and
    momentum included. A module with a frozen buffer, such as a batch norm, is in evaluation mode.
    Parameters that do not require a gradient at the start stay frozen.

    Args:
        descent: a GradientDescent or AlternatingDescent.
        counter: counts the epochs.
        patterns: patterns for names of parameters and buffers, such as ``backbone.*``.
        unfreeze_after_epochs: how many epochs they are frozen for; None: always.

    Raises ArgumentError if a pattern matches nothing, or if no parameter is left to train.

    >>> import torch
    >>> from legoloop.training.counter import Counter
    >>> from legoloop.training.step.descent import GradientDescent
    >>> model = nn.ModuleDict({"body": nn.Linear(1, 1), "head": nn.Linear(1, 1)})
    >>> descent = GradientDescent(torch.optim.SGD(model.parameters()), model, feed=None, loss=None)
    >>> counter = Counter()
    >>> freeze = Freeze(descent, counter, ["body.*"], unfreeze_after_epochs=1)
    >>> freeze.train_start()
    >>> [weight.requires_grad for weight in model.parameters()]
    [False, False, True, True]
    >>> counter.epoch_end(); freeze.epoch_start()
    >>> [weight.requires_grad for weight in model.parameters()]
    [True, True, True, True]
    """

    trained_alone = "changes which parameters are trained"

    def __init__(
        self,
        descent: HasModel,
        counter: TrainingProgress,
        patterns: Iterable[str],
        unfreeze_after_epochs: int | None = None,
    ) -> None:
        if unfreeze_after_epochs is not None:
            at_least(0, unfreeze_after_epochs=unfreeze_after_epochs)
        self.descent = descent
        self.counter = counter
        self.unfreeze_after_epochs = unfreeze_after_epochs
        self._parts = FreezableParts(descent.model, patterns)

    def train_start(self) -> None:
        """Freeze, unless a resumed run is past that."""
        self._update()

    def epoch_start(self) -> None:
        """Unfreeze if it is time."""
        self._update()

    def close(self) -> None:
        """Unfreeze: another run begins with a model that is trainable."""
        self._parts.set_trainable(True)

    def _update(self) -> None:
        after = self.unfreeze_after_epochs
        self._parts.set_trainable(after is not None and self.counter.epochs >= after)
