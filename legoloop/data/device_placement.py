"""Which data sets are kept on the device as a whole, so that no batch has to travel."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from legoloop.core.errors import ArgumentError
from legoloop.data.datasets import ColumnDataset
from legoloop.data.loader_config import LoaderConfig

PART_OF_FREE_MEMORY = 4


def placed(
    datasets: Mapping[str, Any],
    loader_configs: Mapping[str, LoaderConfig],
    device: torch.device | None,
    preload: str | bool = "auto",
) -> dict[str, Any]:
    """The data sets, those on the device that belong there; without a GPU all stay as they are.

    ``auto`` moves each ``ColumnDataset`` that needs nobody's help to be served from there: its
    transform, if it has one, takes a ``generator``, no workers are asked for, and together with
    those before it it takes at most a quarter of the memory that is free. ``True`` moves each
    whatever its transform and size. Raises ArgumentError for another value, and if ``True`` meets
    a data set without columns, or workers.

    >>> data = {"train": ColumnDataset({"x": torch.zeros(2)})}
    >>> placed(data, {"train": LoaderConfig()}, torch.device("cpu"), preload=True) == data
    True
    """
    if not (isinstance(preload, bool) or preload == "auto"):
        raise ArgumentError(
            f"is {preload!r}", argument="preload", remedy="give auto, true or false"
        )
    if preload is False or device is None or device.type != "cuda":
        return dict(datasets)
    if preload is True:
        for name, dataset in datasets.items():
            _refuse_unmovable(name, dataset, loader_configs[name])
        return {name: dataset.to(device) for name, dataset in datasets.items()}
    room = torch.cuda.mem_get_info(device)[0] // PART_OF_FREE_MEMORY
    chosen = fitting(datasets, loader_configs, room)
    return {
        name: dataset.to(device) if name in chosen else dataset
        for name, dataset in datasets.items()
    }


def fitting(
    datasets: Mapping[str, Any], loader_configs: Mapping[str, LoaderConfig], room: int
) -> list[str]:
    """The names of those that ``auto`` moves into so many bytes, the first ones first.

    >>> data = {name: ColumnDataset({"x": torch.zeros(2)}) for name in ("train", "val")}
    >>> fitting(data, dict.fromkeys(data, LoaderConfig()), room=30)
    ['train']
    """
    names = []
    for name, dataset in datasets.items():
        moves = isinstance(dataset, ColumnDataset) and loader_configs[name].num_workers == 0
        if moves and (dataset.is_plain or dataset.takes_generator) and dataset.nbytes <= room:
            room -= dataset.nbytes
            names.append(name)
    return names


def _refuse_unmovable(name: str, dataset: Any, batching: LoaderConfig) -> None:
    if not (isinstance(dataset, ColumnDataset) and dataset.serves_columns):
        raise ArgumentError(
            f"is true, but data set '{name}', a {type(dataset).__name__}, has no columns to move",
            argument="preload",
            remedy="give auto",
        )
    if batching.num_workers:
        raise ArgumentError(
            f"is true, but loaders.{name}.num_workers is {batching.num_workers}",
            argument="preload",
            remedy="workers have no part in data on a device: give 0 of them, or auto",
        )
