"""The two shapes of data set: one sample at a time, or a whole batch from columns."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from typing import Any, Self

import torch

from legoloop.core.errors import DataError
from legoloop.core.protocols import Batch


class SizedDataset(ABC):
    """A data set of records: subclass it, or bring any class with these two methods.

    A record is a dict; its ``idx`` identifies the sample and may be an int or a string.

    >>> class Squares(SizedDataset):
    ...     def __len__(self): return 3
    ...     def __getitem__(self, item): return {"idx": item, "target": item * item}
    >>> Squares()[2]
    {'idx': 2, 'target': 4}
    """

    @abstractmethod
    def __len__(self) -> int:
        """The number of samples."""

    @abstractmethod
    def __getitem__(self, item: int) -> dict[str, Any]:
        """The record at a position from 0 to ``len(self) - 1``."""


class ColumnDataset:
    """A data set kept as columns, served a whole batch at a time.

    ``columns`` maps a name to a tensor whose first dimension is the samples; ``idx`` is added when
    missing. ``transform`` takes a batch, a dict of tensors, and returns one: its random numbers,
    from any of the three generators, are a function of the seed and the position. One that takes
    a ``generator`` too, and draws from it alone, is asked at a fraction of the cost; it draws on
    the CPU, and moves what it drew to where the batch is.

    What the data tell the model goes in as keywords: ``num_outputs=10``,
    ``image_shape=(1, 28, 28)``, …

    Raises DataError if the columns differ in length.

    >>> data = ColumnDataset({"x": torch.tensor([5, 6, 7])}, num_outputs=2)
    >>> data.__getitems__([0, 2])
    {'x': tensor([5, 7]), 'idx': tensor([0, 2])}
    >>> data.num_outputs
    2
    """

    def __init__(
        self,
        columns: Mapping[str, torch.Tensor],
        transform: Callable[..., Batch] | None = None,
        **tells: Any,
    ) -> None:
        lengths = {name: len(column) for name, column in columns.items()}
        if len(set(lengths.values())) != 1:
            shown = ", ".join(f"{name}: {length}" for name, length in lengths.items())
            raise DataError(f"columns differ in length ({shown or 'there are none'})")
        self.columns = dict(columns)
        self.columns.setdefault("idx", torch.arange(next(iter(lengths.values()))))
        self.transform = transform
        for name, value in tells.items():
            setattr(self, name, value)

    @property
    def is_plain(self) -> bool:
        """True if serving a batch neither computes nor draws anything."""
        return self.transform is None and self.serves_columns

    @property
    def serves_columns(self) -> bool:
        """True unless a subclass serves batches in a way of its own."""
        return type(self).__getitems__ is ColumnDataset.__getitems__

    @property
    def takes_generator(self) -> bool:
        """True if whatever serving a batch draws comes from the generator that it is given."""
        return self.serves_columns and _takes(self.transform, "generator")

    @property
    def device(self) -> torch.device:
        """Where the columns are."""
        return self.columns["idx"].device

    @property
    def nbytes(self) -> int:
        """The size of all columns in bytes."""
        return sum(column.nbytes for column in self.columns.values())

    def to(self, device: str | torch.device) -> Self:
        """The same data set with its columns on a device, where its batches are made then."""
        moved = copy(self)
        moved.columns = {name: column.to(device) for name, column in self.columns.items()}
        return moved

    def __len__(self) -> int:
        return len(self.columns["idx"])

    def __getitem__(self, item: int) -> dict[str, Any]:
        return {name: column[0] for name, column in self.__getitems__([item]).items()}

    def __getitems__(
        self, items: Sequence[int] | torch.Tensor, generator: torch.Generator | None = None
    ) -> Batch:
        chosen = torch.as_tensor(items, device=self.device)
        batch = {name: column.index_select(0, chosen) for name, column in self.columns.items()}
        if self.transform is None:
            return batch
        if generator is None:
            return self.transform(batch)
        return self.transform(batch, generator=generator)


def _takes(function: Callable[..., Any] | None, parameter: str) -> bool:
    try:
        return function is not None and parameter in inspect.signature(function).parameters
    except ValueError:  # a builtin that does not tell
        return False
