"""The names of weights, whether or not torch.compile wraps the module that has them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

WRAPPED = "_orig_mod"
"""The attribute of what torch.compile returns that holds the module."""


def plain_name(name: str) -> str:
    """The name that a weight has where nothing is compiled.

    >>> plain_name("encoder._orig_mod.weight")
    'encoder.weight'
    """
    if not isinstance(name, str):  # a file may hold anything
        return name
    return ".".join(part for part in name.split(".") if part != WRAPPED)


def with_plain_names(weights: Mapping[str, Any]) -> Mapping[str, Any]:
    """A state dict as that of the model where nothing is compiled; itself if nothing is.

    >>> with_plain_names({"_orig_mod.weight": 1})
    {'weight': 1}
    """
    return _renamed(weights, {name: plain_name(name) for name in weights})


def with_names_of(own: Iterable[str], weights: Mapping[str, Any]) -> Mapping[str, Any]:
    """A state dict with the names that a model has, as far as it has them; itself if it does.

    Args:
        own (Iterable[str]): the names in the model's state dict.
        weights (Mapping[str, Any]): the state dict.

    >>> with_names_of(["_orig_mod.weight"], {"weight": 1, "bias": 2})
    {'_orig_mod.weight': 1, 'bias': 2}
    """
    names = {plain_name(name): name for name in own}
    return _renamed(weights, {name: names.get(plain_name(name), name) for name in weights})


def _renamed(weights: Mapping[str, Any], names: Mapping[str, str]) -> Mapping[str, Any]:
    """Torch keeps the versions of modules in an attribute of a state dict."""
    if all(old == new for old, new in names.items()):
        return weights
    return {names[name]: value for name, value in weights.items()}
