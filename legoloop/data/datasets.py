"""Two kinds of data set: one that serves records, and one that serves batches of columns."""

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
    """Base class of data sets of records; any class with these two methods works too.

    A record is a dict; its ``idx`` identifies the sample and is an int or a str.

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
        """The record at an index from 0 to ``len(self) - 1``."""


class ColumnDataset:
    """A data set of columns in memory, which serves a whole batch at a time.

    Args:
        columns: tensors by name, each of shape (samples, …), or lists of names, one a sample;
            ``idx``, which identifies a sample and may be such a list, is added if missing.
        transform: ``transform(batch)`` returns the batch to serve. Its random numbers, from any of
            the three global generators, are a function of seed and position. If it takes a
            ``generator`` and draws from that alone, on the CPU, it costs a fraction.
        **attributes: set on the data set, for the model: ``num_outputs=10``, ``image_shape=…``.

    Raises DataError if the columns differ in length, or one is neither.

    >>> data = ColumnDataset({"x": torch.tensor([5, 6, 7])}, num_outputs=2)
    >>> data.__getitems__([0, 2])
    {'x': tensor([5, 7]), 'idx': tensor([0, 2])}
    >>> data.num_outputs
    2
    >>> named = ColumnDataset({"x": torch.tensor([5, 6]), "idx": ["anna", "ben"]})
    >>> named.__getitems__([1])
    {'x': tensor([6]), 'idx': ['ben']}
    """

    def __init__(
        self,
        columns: Mapping[str, torch.Tensor | Sequence[str]],
        transform: Callable[..., Batch] | None = None,
        **attributes: Any,
    ) -> None:
        self.columns = {name: _column(name, values) for name, values in columns.items()}
        lengths = {name: len(column) for name, column in self.columns.items()}
        if len(set(lengths.values())) != 1:
            shown = ", ".join(f"{name}: {length}" for name, length in lengths.items())
            raise DataError(f"columns differ in length ({shown or 'there are none'})")
        self.columns.setdefault("idx", torch.arange(next(iter(lengths.values()))))
        self.transform = transform
        for name, value in attributes.items():
            setattr(self, name, value)

    @property
    def is_deterministic(self) -> bool:
        """Whether batches are served without computations and random numbers."""
        return self.transform is None and self.uses_default_getitems

    @property
    def uses_default_getitems(self) -> bool:
        """Whether ``__getitems__`` is that of ColumnDataset, not overridden."""
        return type(self).__getitems__ is ColumnDataset.__getitems__

    @property
    def accepts_generator(self) -> bool:
        """Whether all random numbers of a batch come from the generator passed in."""
        return self.uses_default_getitems and _has_parameter(self.transform, "generator")

    @property
    def device(self) -> torch.device:
        """The device of the columns."""
        tensors = (column for column in self.columns.values() if isinstance(column, torch.Tensor))
        return next((tensor.device for tensor in tensors), torch.device("cpu"))

    @property
    def nbytes(self) -> int:
        """The size of all columns in bytes."""
        return sum(
            column.nbytes if isinstance(column, torch.Tensor) else sum(map(len, column))
            for column in self.columns.values()
        )

    def to(self, device: str | torch.device) -> Self:
        """A copy with its columns on a device, on which it serves its batches."""
        moved = copy(self)
        moved.columns = {
            name: column.to(device) if isinstance(column, torch.Tensor) else column
            for name, column in self.columns.items()
        }
        return moved

    def rows(self, items: Sequence[int] | torch.Tensor) -> Batch:
        """The columns at these positions, as they are: without the transform.

        >>> ColumnDataset({"x": torch.tensor([5, 6, 7])}, transform=print).rows([2])
        {'x': tensor([7]), 'idx': tensor([2])}
        """
        chosen = torch.as_tensor(items, device=self.device)
        return {name: _taken(column, chosen) for name, column in self.columns.items()}

    def __len__(self) -> int:
        return len(self.columns["idx"])

    def __getitem__(self, item: int) -> dict[str, Any]:
        return {name: column[0] for name, column in self.__getitems__([item]).items()}

    def __getitems__(
        self, items: Sequence[int] | torch.Tensor, generator: torch.Generator | None = None
    ) -> Batch:
        batch = self.rows(items)
        if self.transform is None:
            return batch
        if generator is None:
            return self.transform(batch)
        return self.transform(batch, generator=generator)


def _column(name: str, values: Any) -> Any:
    """A tensor, or a list of texts."""
    if isinstance(values, torch.Tensor):
        return values
    plain = values.tolist() if hasattr(values, "tolist") else values
    if isinstance(plain, list | tuple) and all(isinstance(each, str) for each in plain):
        return list(plain)
    raise DataError(
        f"column '{name}' is a {type(values).__name__}; give a tensor (torch.as_tensor), or names: "
        "a list with a str for each sample"
    )


def _taken(column: Any, chosen: torch.Tensor) -> Any:
    if isinstance(column, torch.Tensor):
        return column.index_select(0, chosen)
    return [column[item] for item in chosen.tolist()]


def _has_parameter(function: Callable[..., Any] | None, parameter: str) -> bool:
    try:
        return function is not None and parameter in inspect.signature(function).parameters
    except ValueError:  # a builtin without a signature
        return False
