"""The data container: from data sets and settings to loaders and streams."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from dependency_injector import containers, providers

from legoloop.core.errors import ArgumentError
from legoloop.core.rng import last_seed
from legoloop.core.text import shown
from legoloop.data.device_placement import place_on_device
from legoloop.data.loader_config import Settings, loader_configs
from legoloop.data.loaders import Loader
from legoloop.data.streams import BatchStream


def _settings(container: Any) -> Settings:
    """The container's own config; if it is empty, that of its parent container."""
    own: Settings = container.config() or {}
    parent = getattr(getattr(container.parent, "parent", None), "config", None)
    if own or not isinstance(parent, providers.Configuration):
        return own
    return parent() or {}


def _seed(settings: Settings) -> int:
    given = settings.get("seed")
    if given is None:
        return last_seed() or 0
    if not isinstance(given, int):
        raise ArgumentError(f"is {shown(given)}", argument="seed", remedy="give a whole number")
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
