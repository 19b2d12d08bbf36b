"""The data container: from data sets and settings to loaders and loops."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import torch
from dependency_injector import containers, providers

from legoloop.core.errors import ArgumentError
from legoloop.core.rng import last_seed
from legoloop.core.suggestions import did_you_mean
from legoloop.data.device_placement import placed
from legoloop.data.loader_config import LoaderConfig
from legoloop.data.loaders import Loader
from legoloop.data.streams import BatchStream

Settings = Mapping[str, Any]


def _settings(container: Any) -> Settings:
    """The container's own config; when it was given none, that of the container around it."""
    own: Settings = container.config() or {}
    around = getattr(getattr(container.parent, "parent", None), "config", None)
    if own or not isinstance(around, providers.Configuration):
        return own
    return around() or {}


def loader_configs(datasets: Collection[str], settings: Settings) -> dict[str, LoaderConfig]:
    """How each data set is batched: ``loaders.default``, and ``loaders.<name>`` over it.

    Raises ArgumentError for a data set or a setting that does not exist, and a value out of range.

    >>> loader_configs(["val"], {"loaders": {"default": {"batch_size": 8}}})["val"].batch_size
    8
    """
    loaders = _mapping("loaders", settings.get("loaders"))
    for name, given in loaders.items():
        _mapping(f"loaders.{name}", given)
    default = loaders.get("default") or {}
    _batching("default", default)
    for name in loaders:
        if name != "default" and name not in datasets:
            raise ArgumentError(
                "names no data set", argument=f"loaders.{name}", remedy=did_you_mean(name, datasets)
            )
    return {name: _batching(name, {**default, **(loaders.get(name) or {})}) for name in datasets}


def _mapping(key: str, given: Any) -> Settings:
    if given is not None and not isinstance(given, Mapping):
        raise ArgumentError(f"is {given!r}", argument=key, remedy="give settings by name")
    return given or {}


def _batching(name: str, settings: Settings) -> LoaderConfig:
    for key in settings:
        if key not in LoaderConfig.names():
            raise ArgumentError(
                "is no setting",
                argument=f"loaders.{name}.{key}",
                remedy=did_you_mean(key, LoaderConfig.names()),
            )
    try:
        return LoaderConfig(**settings)
    except ArgumentError as error:
        raise ArgumentError(f"loaders.{name}.{error}") from None


def _seed(settings: Settings) -> int:
    given = settings.get("seed")
    if given is None:
        return last_seed() or 0
    if not isinstance(given, int):
        raise ArgumentError(f"is {given!r}", argument="seed", remedy="give a whole number")
    return given


def _device(named: str | torch.device | None) -> torch.device | None:
    return None if named is None else torch.device(named)


def _placed(datasets: Mapping[str, Any], settings: Settings, device: Any) -> dict[str, Any]:
    by_name = loader_configs(datasets, settings)
    return placed(datasets, by_name, device, settings.get("preload", "auto"))


def _streams(
    kind: type[Loader] | type[BatchStream],
    datasets: Mapping[str, Any],
    settings: Settings,
    device: Any,
) -> dict[str, Any]:
    by_name, seed = loader_configs(datasets, settings), _seed(settings)
    return {name: kind(data, name, seed, by_name[name], device) for name, data in datasets.items()}


class Data(containers.DeclarativeContainer):
    """Data sets in, loaders and loops out; all by the name of the data set.

    ``config`` may hold ``seed`` (without one: what ``ll.seed`` chose), ``loaders``: settings by
    name over those of ``default``, the keys of ``LoaderConfig``, and ``preload``: which data sets
    are kept on the ``device``, auto, true or false (``legoloop.data.device_placement``). A
    container that is given no config looks for these keys in the ``config`` of the container around it.

    With a ``device`` that is a GPU, all batches arrive on it.

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
    target = providers.Callable(_device, device)
    placed = providers.Singleton(_placed, datasets, settings, target)
    loaders = providers.Singleton(_streams, providers.Object(Loader), placed, settings, target)
    loop_iters = providers.Singleton(
        _streams, providers.Object(BatchStream), placed, settings, target
    )
