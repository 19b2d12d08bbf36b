"""Whether an optimizer has the parameters of every loss."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from torch import nn

from legoloop.core.errors import PluginError
from legoloop.core.text import shorten
from legoloop.loop.held_objects import held_objects


def reject_unoptimized_losses(plugins: Mapping[str, object]) -> None:
    """Raises PluginError for a loss with a trainable parameter that no optimizer would change.

    A loss is the ``loss`` of whatever has an ``opt`` and a ``model`` too, a descent. Parameters of
    a model of some descent are left to whoever made its optimizer.

    >>> from legoloop.training.step.descent import GradientDescent
    >>> import torch
    >>> model, loss = nn.Linear(1, 1), nn.PReLU()
    >>> opt = torch.optim.SGD(model.parameters())
    >>> reject_unoptimized_losses({"descent": GradientDescent(opt, model, feed=None, loss=loss)})
    Traceback (most recent call last):
    legoloop.core.errors.PluginError: descent.loss, a PReLU, has parameters that no optimizer has: \
weight; give them to one, or freeze them with requires_grad_(False)
    """
    objects = {**plugins, **held_objects(plugins)}
    descents: dict[str, Any] = {
        path: descent
        for path, descent in objects.items()
        if all(hasattr(descent, name) for name in ("opt", "model", "loss"))
    }
    known = {
        id(weight)
        for holder in objects.values()
        for group in _groups(holder)
        for weight in group["params"]
    }
    for descent in descents.values():
        if isinstance(descent.model, nn.Module):
            known.update(map(id, descent.model.parameters()))
    for path, descent in descents.items():
        forgotten = [
            name
            for name, weight in _parameters(descent.loss)
            if weight.requires_grad and id(weight) not in known
        ]
        if forgotten:
            raise PluginError(
                f"{path}.loss, a {type(descent.loss).__name__}, has parameters that no optimizer "
                f"has: {shorten(forgotten)}; give them to one, or freeze them with "
                "requires_grad_(False)"
            )


def _groups(holder: Any) -> list[dict[str, Any]]:
    groups = getattr(holder, "param_groups", None)
    return groups if isinstance(groups, list) else []


def _parameters(loss: Any) -> Iterator[tuple[str, nn.Parameter]]:
    """Those of a module, or of the modules that another object holds."""
    modules = {"": loss} if isinstance(loss, nn.Module) else held_objects({"": loss})
    for path, module in modules.items():
        if isinstance(module, nn.Module):
            yield from module.named_parameters(path.removeprefix("."))
