"""Lazy modules: their weights are made when they are first called."""

from __future__ import annotations

from torch import nn
from torch.nn.parameter import is_lazy

from legoloop.core.errors import ArgumentError


def reject_lazy_modules(model: nn.Module) -> None:
    """Raises ArgumentError for a model whose weights are made when it is first called.

    >>> reject_lazy_modules(nn.LazyLinear(2))
    Traceback (most recent call last):
    legoloop.core.errors.ArgumentError: the weights of the LazyLinear are made when the model is \
first called; give it its sizes, or call it once where it is made
    """
    for path, module in model.named_modules():
        made = (*module.parameters(recurse=False), *module.buffers(recurse=False))
        if any(map(is_lazy, made)):
            kind = type(module).__name__
            whose = f"'{path}', a {kind}," if path else f"the {kind}"
            raise ArgumentError(
                f"the weights of {whose} are made when the model is first called; give it its "
                "sizes, or call it once where it is made"
            )
