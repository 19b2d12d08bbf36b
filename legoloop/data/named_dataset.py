"""Data sets of other libraries, whose samples are tuples or lists of numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from legoloop.core.errors import ArgumentError
from legoloop.core.naming import Names, check_names, named

Record = dict[str, Any]


class NamedDataset:
    """A data set of tuples, or of records with other names, as one of records.

    ``idx``, the position in the data set, is added to records without one. What a model asks of the
    data set (``num_outputs``), or a sampler (``targets``), and is not among ``attributes``, is
    asked of the data set inside.

    Args:
        dataset (Any): has ``__len__`` and ``__getitem__``, as those of torchvision do. A set of
            Hugging Face's ``datasets`` that has no format is read as tensors.
        names (str | list | Mapping | None): what the values of a sample are called. A list: the
            values of a tuple in their order (null: left out), or some entries of a record; a
            mapping of names to keys or positions, ``{image: 0}``; a name: of a sample that is one
            value; None: the names that a record, a dataclass or a namedtuple has.
        attributes (Mapping[str, Any] | None): set on it, for the model: ``{num_outputs: 10}``.

    Raises ArgumentError for what cannot be indexed; when it is read, DataError for a sample that
    cannot be named so.

    >>> pairs = [(0.5, 3), (0.1, 4)]
    >>> data = NamedDataset(pairs, names=["x", "target"], attributes={"num_outputs": 1})
    >>> data[1], len(data), data.num_outputs
    ({'x': 0.1, 'target': 4, 'idx': 1}, 2, 1)
    """

    def __init__(
        self,
        dataset: Any,
        names: Names = None,
        attributes: Mapping[str, Any] | None = None,
    ) -> None:
        check_names(names, "names")
        if isinstance(dataset, Mapping):
            raise ArgumentError(
                f"is a {type(dataset).__name__} of {', '.join(map(str, dataset))}",
                argument="dataset",
                remedy="give one of them: split=train",
            )
        if not (hasattr(dataset, "__len__") and hasattr(dataset, "__getitem__")):
            raise ArgumentError(
                f"is a {type(dataset).__name__}, which cannot be indexed",
                argument="dataset",
                remedy="give one with __len__ and __getitem__, or a LoaderStream of its DataLoader",
            )
        self.dataset = _as_tensors(dataset)
        self.names = names
        for name, value in (attributes or {}).items():
            setattr(self, name, value)

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, item: int) -> Record:
        return self._record(item, self.dataset[item])

    def column(self, name: str) -> Any:
        """The values of one name, of a set of Hugging Face's ``datasets``; None for any other."""
        key = self.names.get(name, name) if isinstance(self.names, Mapping) else name
        known = getattr(self.dataset, "column_names", None)
        return self.dataset[key][:] if isinstance(known, list) and key in known else None

    def __getattr__(self, name: str) -> Any:
        dataset = vars(self).get("dataset")
        if name == "__getitems__" and hasattr(dataset, name):
            return self._records  # so this has it only if that has, which serves many at once
        if dataset is None or name.startswith("__"):
            raise AttributeError(name)
        return getattr(dataset, name)

    def _records(self, items: Sequence[int]) -> list[Record] | Record:
        items = list(items)
        served = self.dataset.__getitems__(items)
        if isinstance(served, Mapping):  # a whole batch
            return self._record(torch.tensor(items), served)
        return [self._record(*each) for each in zip(items, served, strict=True)]

    def _record(self, idx: int | torch.Tensor, sample: Any) -> Record:
        record = named(sample, self.names, "names", f"a sample of {type(self.dataset).__name__}")
        record.setdefault("idx", idx)
        return record


def _as_tensors(dataset: Any) -> Any:
    """A set of Hugging Face's would serve lists, which do not stack into one tensor."""
    if hasattr(dataset, "with_format") and getattr(dataset, "format", {}).get("type", "") is None:
        return dataset.with_format("torch")
    return dataset
