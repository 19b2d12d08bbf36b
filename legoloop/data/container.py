"""The data container: from data sets and settings to loaders and streams."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import torch
from dependency_injector import containers, providers

from legoloop.core.errors import ArgumentError
from legoloop.core.rng import last_seed
from legoloop.core.suggestions import did_you_mean
from legoloop.data.device_placement import place_on_device
from legoloop.data.loader_config import LoaderConfig
from legoloop.data.loaders import Loader
from legoloop.data.streams import BatchStream

Settings = Mapping[str, Any]


def _settings(container: Any) -> Settings:
    """The container's own config; if it is empty, that of its parent container."""
    own: Settings = container.config() or {}
    parent = getattr(getattr(container.parent, "parent", None), "config", None)
    if own or not isinstance(parent, providers.Configuration):
        return own
    return parent() or {}


def loader_configs(datasets: Collection[str], settings: Settings) -> dict[str, LoaderConfig]:
    """The loader settings of each data set: ``loaders.default``, overridden by ``loaders.<name>``.

    Raises ArgumentError for a data set or a setting that does not exist, and values out of range.

    >>> loader_configs(["val"], {"loaders": {"default": {"batch_size": 8}}})["val"].batch_size
    8
    """
    loaders = _mapping("loaders", settings.get("loaders"))
    for name, given in loaders.items():
        _mapping(f"loaders.{name}", given)
    default = loaders.get("default") or {}
    _loader_config("default", default)
    for name in loaders:
        if name != "default" and name not in datasets:
            raise ArgumentError(
                "is not a data set", argument=f"loaders.{name}", remedy=did_you_mean(name, datasets)
            )
    return {
        name: _loader_config(name, {**default, **(loaders.get(name) or {})}) for name in datasets
    }


def _mapping(key: str, given: Any) -> Settings:
    if given is not None and not isinstance(given, Mapping):
        raise ArgumentError(f"is {given!r}", argument=key, remedy="give settings by name")
    return given or {}


def _loader_config(name: str, settings: Settings) -> LoaderConfig:
    for key in settings:
        if key not in LoaderConfig.names():
            raise ArgumentError(
                "is not a setting",
                argument=f"loaders.{name}.{key}",
                remedy=did_you_mean(key, LoaderConfig.names()),
            )
    try:
        return LoaderConfig(**settings)
    except ArgumentError as error:
        raise error.nested(f"loaders.{name}") from None


def _seed(settings: Settings) -> int:
    given = settings.get("seed")
    if given is None:
        return last_seed() or 0
    if not isinstance(given, int):
        raise ArgumentError(f"is {given!r}", argument="seed", remedy="give a whole number")
    return given


def _torch_device(name: str | torch.device | None) -> torch.device | None:
    return None if name is None else torch.device(name)


def _placed(datasets: Mapping[str, Any], settings: Settings, device: Any) -> dict[str, Any]:
    by_name = loader_configs(datasets, settings)
    return place_on_device(datasets, by_name, device, settings.get("preload", "auto"))


def _streams(
    kind: type[Loader] | type[BatchStream],
    datasets: Mapping[str, Any],
    settings: Settings,
    device: Any,
) -> dict[str, Any]:
    by_name, seed = loader_configs(datasets, settings), _seed(settings)
    return {name: kind(data, name, seed, by_name[name], device) for name, data in datasets.items()}


class Data(containers.DeclarativeContainer):
    """Container with a Loader (``loaders``) and a BatchStream (``loop_iters``) for each data set.

    Args:
        config: ``seed`` (default: that of ``ll.seed``); ``loaders``, the arguments of LoaderConfig
            by data set, over those under ``default``; ``preload``, which data sets are kept on a
            GPU: auto, true or false (``legoloop.data.device_placement``). Without a config, these
            keys are read from the ``config`` of the parent container.
        datasets: a provider of the data sets by name.
        device: a provider of the device; batches arrive on it if it is a GPU.

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
    device: providers.Provider[Any] = providers.Object(None)
    __self__ = providers.Self()
    settings = providers.Callable(_settings, __self__)
    target = providers.Callable(_torch_device, device)
    placed_datasets = providers.Singleton(_placed, datasets, settings, target)
    loaders = providers.Singleton(
        _streams, providers.Object(Loader), placed_datasets, settings, target
    )
    loop_iters = providers.Singleton(
        _streams, providers.Object(BatchStream), placed_datasets, settings, target
    )
