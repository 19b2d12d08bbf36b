"""Keeping whole data sets on the GPU, so that no batch has to be copied."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from weakref import WeakKeyDictionary

import torch

from legoloop.core.errors import ArgumentError
from legoloop.core.text import shown
from legoloop.data.datasets import ColumnDataset
from legoloop.data.loader_config import LoaderConfig

MEMORY_FRACTION = 1 / 4
"""Of the free GPU memory, for data sets that ``auto`` places there."""


def place_on_device(
    datasets: Mapping[str, Any],
    loader_configs: Mapping[str, LoaderConfig],
    device: torch.device | None,
    preload: str | bool = "auto",
) -> dict[str, Any]:
    """Move data sets to the GPU; without one, all stay where they are.

    Args:
        datasets: the data sets by name.
        loader_configs: their loader settings, by the same names.
        device: the device of the training.
        preload: ``auto`` moves each ColumnDataset without workers whose transform, if any, takes a
            ``generator``, as long as all of them fit into a quarter of the free memory; true moves
            all of them; false none.

    Returns the data sets by name. Raises ArgumentError for another value of ``preload``, and if it
    is true for a data set without columns or with workers.

    >>> data = {"train": ColumnDataset({"x": torch.zeros(2)})}
    >>> place_on_device(data, {"train": LoaderConfig()}, torch.device("cpu"), preload=True) == data
    True
    """
    if not (isinstance(preload, bool) or preload == "auto"):
        raise ArgumentError(
            f"is {shown(preload)}", argument="preload", remedy="give auto, true or false"
        )
    if preload is False or device is None or device.type != "cuda":
        return dict(datasets)
    if preload is True:
        for name, dataset in datasets.items():
            _reject_unmovable(name, dataset, loader_configs[name])
        return {name: copy_on(device, dataset) for name, dataset in datasets.items()}
    num_bytes = int(torch.cuda.mem_get_info(device)[0] * MEMORY_FRACTION)
    chosen = datasets_that_fit(datasets, loader_configs, num_bytes)
    return {
        name: copy_on(device, dataset) if name in chosen else dataset
        for name, dataset in datasets.items()
    }


def copy_on(device: torch.device, dataset: ColumnDataset) -> ColumnDataset:
    """The data set on a device: the same copy each time, for jobs of a sweep that share it.

    One that has changed since is copied anew.

    >>> data = ColumnDataset({"x": torch.zeros(2)})
    >>> copy_on(torch.device("meta"), data) is copy_on(torch.device("meta"), data)
    True
    """
    found = _copies.get(dataset)
    if found is None or not found.is_of(device, dataset):
        found = _copies[dataset] = _Copy(device, dataset)
    return found.copy


class _Copy:
    """A copy on a device, and what it was made of."""

    def __init__(self, device: torch.device, dataset: ColumnDataset) -> None:
        self.device = device
        self.parts = _parts(dataset)
        self.copy = dataset.to(device)

    def is_of(self, device: torch.device, dataset: ColumnDataset) -> bool:
        """Whether another one would be the same."""
        parts = _parts(dataset)
        return (
            self.device == device
            and self.parts.keys() == parts.keys()
            and all(
                part is parts[name][0] and version == parts[name][1]
                for name, (part, version) in self.parts.items()
            )
        )


_copies: WeakKeyDictionary[ColumnDataset, _Copy] = WeakKeyDictionary()


def _parts(dataset: ColumnDataset) -> dict[str, tuple[Any, int]]:
    """Columns and attributes, each with torch's count of changes in place."""
    own = {**vars(dataset), **{f"columns.{name}": c for name, c in dataset.columns.items()}}
    return {name: (part, _version(part)) for name, part in own.items()}


def _version(part: Any) -> int:
    """Torch counts none for what was made in inference mode."""
    counts = isinstance(part, torch.Tensor) and not part.is_inference()
    return part._version if counts else 0


def datasets_that_fit(
    datasets: Mapping[str, Any], loader_configs: Mapping[str, LoaderConfig], num_bytes: int
) -> list[str]:
    """The names of the data sets that ``preload=auto`` moves to a GPU with so many free bytes.

    >>> data = {name: ColumnDataset({"x": torch.zeros(2)}) for name in ("train", "val")}
    >>> datasets_that_fit(data, dict.fromkeys(data, LoaderConfig()), num_bytes=30)
    ['train']
    """
    names = []
    for name, dataset in datasets.items():
        moves = isinstance(dataset, ColumnDataset) and loader_configs[name].num_workers == 0
        if (
            moves
            and (dataset.is_deterministic or dataset.accepts_generator)
            and dataset.nbytes <= num_bytes
        ):
            num_bytes -= dataset.nbytes
            names.append(name)
    return names


def _reject_unmovable(name: str, dataset: Any, config: LoaderConfig) -> None:
    if not (isinstance(dataset, ColumnDataset) and dataset.uses_default_getitems):
        raise ArgumentError(
            f"is true, but data set '{name}', a {type(dataset).__name__}, has no columns to move",
            argument="preload",
            remedy="give auto",
        )
    if config.num_workers:
        raise ArgumentError(
            f"is true, but loaders.{name}.num_workers is {config.num_workers}",
            argument="preload",
            remedy="workers cannot serve data on a GPU: give num_workers=0, or preload=auto",
        )
