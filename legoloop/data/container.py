"""The data container: from data sets and settings to loaders and loops."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dependency_injector import containers, providers

from legoloop.core.errors import ArgumentError
from legoloop.core.rng import chosen_seed
from legoloop.core.suggest import suggestion
from legoloop.data.batching import Batching
from legoloop.data.loaders import Loader
from legoloop.data.loops import Loop

Settings = Mapping[str, Any]


def _settings(container: Any) -> Settings:
    """The container's own config; when it was given none, that of the container around it."""
    own: Settings = container.config() or {}
    around = getattr(getattr(container.parent, "parent", None), "config", None)
    if own or not isinstance(around, providers.Configuration):
        return own
    return around() or {}


def _batchings(datasets: Mapping[str, Any], settings: Settings) -> dict[str, Batching]:
    """How each data set is batched: ``loaders.default``, then ``loaders.<name>`` over it."""
    loaders: Settings = settings.get("loaders") or {}
    for name, given in loaders.items():
        if name != "default" and name not in datasets:
            raise ArgumentError(f"loaders.{name}: no such data set; {suggestion(name, datasets)}")
        for key in given or {}:
            if key not in Batching.keys():
                raise ArgumentError(
                    f"loaders.{name}.{key}: no such setting; {suggestion(key, Batching.keys())}"
                )
    default = loaders.get("default") or {}
    return {name: Batching(**{**default, **(loaders.get(name) or {})}) for name in datasets}


def _seed(settings: Settings) -> int:
    given = settings.get("seed")
    return int(given if given is not None else chosen_seed() or 0)


def _loaders(datasets: Mapping[str, Any], settings: Settings) -> dict[str, Loader]:
    batchings, seed = _batchings(datasets, settings), _seed(settings)
    return {name: Loader(data, name, seed, batchings[name]) for name, data in datasets.items()}


def _loops(datasets: Mapping[str, Any], settings: Settings) -> dict[str, Loop]:
    batchings, seed = _batchings(datasets, settings), _seed(settings)
    return {name: Loop(data, name, seed, batchings[name]) for name, data in datasets.items()}


class Data(containers.DeclarativeContainer):
    """Data sets in, loaders and loops out; all by the name of the data set.

    ``config`` may hold ``seed`` (without one: what ``ll.seed`` chose) and ``loaders``: settings by
    name over those of ``default``, the keys of ``Batching``. A container that is given no config
    looks for these keys in the ``config`` of the container around it.

    Raises ArgumentError for a setting or a data set that does not exist.

    >>> import torch
    >>> from legoloop.data.datasets import ColumnDataset
    >>> data = Data(
    ...     config={"loaders": {"default": {"batch_size": 2}}},
    ...     datasets=providers.Dict(train=providers.Object(ColumnDataset({"x": torch.arange(3)}))),
    ... )
    >>> [batch["x"].tolist() for batch in data.loaders()["train"]]
    [[0, 1], [2]]
    """

    config = providers.Configuration()
    datasets = providers.Dict()
    __self__ = providers.Self()
    settings = providers.Callable(_settings, __self__)
    loaders = providers.Singleton(_loaders, datasets, settings)
    loop_iters = providers.Singleton(_loops, datasets, settings)
