"""A model that takes tensors, called with a batch."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, wraps
from typing import Any

from torch import nn

from legoloop.core.arguments import require_key
from legoloop.core.errors import ArgumentError
from legoloop.core.naming import Names, check_names, named
from legoloop.core.protocols import Outputs
from legoloop.core.suggestions import did_you_mean
from legoloop.core.text import shown

Inputs = str | list[str] | Mapping[str, str]


def adapted_model(module: nn.Module, inputs: Inputs, output: Names = None) -> nn.Module:
    """Let a model that takes tensors take a batch, and name its outputs.

    It stays the model that it is: the same object with the same state dict, parameters and
    methods. Called with a batch, a dict alone, it is called with the entries of the batch that
    ``inputs`` names, and returns a dict; called otherwise, it does what it did.

    Args:
        module (nn.Module): the model.
        inputs (str | list[str] | Mapping[str, str]): the entries of a batch that are its arguments:
            one, several in their order, or a mapping of its parameters to entries of the batch,
            ``{input_ids: ids}``.
        output (str | list | Mapping | None): what it returns, by name. A name: of a tensor, or of
            the entry that is taken of a dict or a dataclass; a list: of the values of a tuple
            (null: left out), or of several such entries; a mapping of names to keys or positions,
            ``{logits: out}``; None: the names that a dict, a dataclass or a namedtuple has.

    Raises ArgumentError for inputs that the model does not take; when it is called, DataError for
    a batch without such an entry, and for outputs that cannot be named so.

    >>> import torch
    >>> model = adapted_model(nn.Linear(2, 1), inputs=["x"], output="prediction")
    >>> list(model({"x": torch.ones(3, 2)}))
    ['prediction']
    >>> model(torch.ones(3, 2)).shape, list(model.state_dict())
    (torch.Size([3, 1]), ['weight', 'bias'])
    """
    kind: Any = type(module)
    if not isinstance(module, nn.Module):
        raise ArgumentError(
            f"is of type {kind.__name__}", argument="module", remedy="give a torch.nn.Module"
        )
    if "forward" in vars(module) or not inspect.isfunction(kind.forward):
        raise ArgumentError(
            f"is a {kind.__name__}, which was compiled, scripted or given another forward",
            argument="module",
            remedy="give the model itself",
        )
    if isinstance(module, _TakesBatch):
        raise ArgumentError("is adapted already", argument="module")
    check_names(output, "output")
    arguments = Arguments.of(inputs)
    arguments.check(module)
    module.__class__ = _taking_a_batch(kind)
    object.__setattr__(module, "_legoloop_names", Named(arguments, output))
    return module


@dataclass(frozen=True)
class Arguments:
    """The entries of a batch that are given to a model by position, and by keyword."""

    positional: tuple[str, ...]
    keywords: Mapping[str, str]

    @classmethod
    def of(cls, inputs: Any) -> Arguments:
        """As ``adapted_model`` is given them."""
        if isinstance(inputs, str):
            inputs = [inputs]
        is_mapping = isinstance(inputs, Mapping)
        entries = list(inputs.values()) if is_mapping else inputs
        if not (
            isinstance(entries, list | tuple)
            and entries
            and all(isinstance(entry, str) for entry in entries)
        ):
            raise ArgumentError(
                f"is {shown(inputs)}",
                argument="inputs",
                remedy="give entries of the batch: [image], or {parameter: entry}",
            )
        return cls((), dict(inputs)) if is_mapping else cls(tuple(entries), {})

    def check(self, model: nn.Module) -> None:
        """Raises ArgumentError if the model is not called so."""
        signature = inspect.signature(model.forward)
        try:
            signature.bind(*self.positional, **self.keywords)
        except TypeError as error:
            taken = signature.parameters
            odd = next((each for each in self.keywords if each not in taken), None)
            raise ArgumentError(
                f"does not fit {type(model).__name__}.forward: {error}",
                argument="inputs",
                remedy=did_you_mean(odd, taken) if odd else f"it takes {', '.join(taken)}",
            ) from None

    def of_batch(self, batch: Mapping[str, Any]) -> tuple[list[Any], dict[str, Any]]:
        """The arguments for a batch."""
        whose = "the batch"
        return (
            [require_key(batch, entry, whose) for entry in self.positional],
            {name: require_key(batch, entry, whose) for name, entry in self.keywords.items()},
        )


@dataclass(frozen=True)
class Named:
    """What an adapted model is called with, and what its outputs are called."""

    arguments: Arguments
    output: Names


class _TakesBatch:
    """What is mixed into the class of an adapted model, as torch's own fully_shard does."""

    _legoloop_names: Named
    _legoloop_kind: type[nn.Module]

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Copied and pickled by the class that it was: this one has no name to be found by."""
        return _blank, (self._legoloop_kind,), self.__getstate__()


@cache
def _taking_a_batch(kind: Any) -> Any:
    """A subclass of the class of a model; it has its name."""

    @wraps(kind.forward)
    def forward(self: Any, *args: Any, **kwargs: Any) -> Any:
        if kwargs or len(args) != 1 or not isinstance(args[0], Mapping):
            return kind.forward(self, *args, **kwargs)
        names: Named = self._legoloop_names
        positional, keywords = names.arguments.of_batch(args[0])
        made = kind.forward(self, *positional, **keywords)
        outputs: Outputs = named(made, names.output, "output", f"what a {kind.__name__} returned")
        return outputs

    body = {"forward": forward, "_legoloop_kind": kind, "__module__": kind.__module__}
    return type(kind.__name__, (_TakesBatch, kind), body)


def _blank(kind: Any) -> Any:
    adapted = _taking_a_batch(kind)
    return adapted.__new__(adapted)
