"""The size of a batch: in samples, or in tokens."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn.utils.rnn import PackedSequence

from legoloop.core.arguments import require_key
from legoloop.core.errors import ArgumentError, DataError
from legoloop.core.nested import is_one, opened


@dataclass(frozen=True)
class RankShare:
    """What a share of a batch is of, where several ranks train together.

    Args:
        whole (int): the number of samples of the batch on all ranks.
        largest (int): the number of samples of the largest share.
        key (tuple): what the random numbers of its step are a function of, besides the rank.
        is_borrowed (bool): whether these samples are another rank's too, since the batch has none
            left for this one: they count for nothing.
    """

    whole: int
    largest: int
    key: tuple[Any, ...] = ()
    is_borrowed: bool = False


class SizedBatch(dict[str, Any]):
    """A batch that knows how many samples it was made of, whatever its columns are.

    Args:
        columns (Mapping[str, Any]): the columns by name.
        num_samples (int | None): the number of samples; None: as its columns tell, which is for
            torch: it makes batches anew when it moves them to a GPU.
        share (RankShare | None): of a rank's share of a batch, what it is a share of.

    >>> batch = SizedBatch({"edges": [[0, 1, 2], [1, 2, 0]]}, num_samples=3)
    >>> batch, batch.num_samples
    ({'edges': [[0, 1, 2], [1, 2, 0]]}, 3)
    """

    __slots__ = ("num_samples", "share")

    def __init__(
        self,
        columns: Mapping[str, Any] | Iterable[tuple[str, Any]] = (),
        num_samples: int | None = None,
        share: RankShare | None = None,
    ) -> None:
        super().__init__(columns)
        self.num_samples = next(_lengths(self), 0) if num_samples is None else num_samples
        self.share = share


def with_columns(batch: Mapping[str, Any], columns: dict[str, Any]) -> dict[str, Any]:
    """Other columns with as many samples as the batch, if it knows how many these are.

    >>> with_columns(SizedBatch({"x": [1, 2]}, 2), {"y": 0}).num_samples
    2
    """
    if isinstance(batch, SizedBatch):
        return SizedBatch(columns, batch.num_samples, batch.share)
    return columns


class DefaultBatchDesc:
    """The number of samples in a batch, a dict of columns.

    A batch of a BatchStream or a Loader knows it. Of any other it is the length of the first
    column that is a tensor, an array, or a list of texts or numbers; if all columns are nested,
    that of the first one inside them.

    Raises DataError for a batch without such a column.

    >>> DefaultBatchDesc()({"idx": [3, 1, 2], "target": [0, 0, 1]})
    3
    >>> DefaultBatchDesc()({"views": ([[0.5, 0.1, 0.2]], [[0.5, 0.1, 0.2]]), "target": [0, 0, 1]})
    3
    """

    def __call__(self, batch: Mapping[str, Any]) -> int:
        """The number of samples."""
        if isinstance(batch, SizedBatch):
            return batch.num_samples
        length = next(_lengths(batch), None)
        if length is None:
            raise DataError(
                f"no column of the batch has an entry per sample; its columns are "
                f"{', '.join(map(repr, batch)) or 'none at all'}"
            )
        return length


def _lengths(columns: Mapping[str, Any]) -> Iterator[int]:
    """The length of each column, those that are nested last."""
    nested = []
    for column in columns.values():
        shape = getattr(column, "shape", None)  # len() of a tensor costs several times as much
        if shape:
            yield shape[0]
        elif isinstance(column, PackedSequence) or (not is_one(column) and opened(column)):
            nested.append(column)
        elif shape is None and hasattr(column, "__len__") and not isinstance(column, str | bytes):
            yield len(column)
    for column in nested:
        if isinstance(column, PackedSequence):
            yield int(column.batch_sizes[0])
        elif isinstance(column, list | tuple):
            yield len(column)
        elif (inside := opened(column)) is not None:
            yield from _lengths(dict(zip(inside.keys, inside.values, strict=True)))


class TokenBatchDesc:
    """The number of tokens in a batch: the number of True entries of its mask.

    Given to an epoch as ``batch_desc``, it makes the epoch, the counter and the mean of the loss
    count tokens instead of samples; given to a descent, it weighs micro-batches by their tokens.

    Args:
        mask (str | None): the key of the mask in the batch, a bool tensor of any shape; None:
            there is none, and ``ignore_index`` is what does not count.
        ignore_index (int | None): tokens of this class do not count, such as -100; None: all do.
        target (str): the key of the classes, of the shape of the mask; read for ``ignore_index``.

    Raises ArgumentError for neither a mask nor a class; DataError for a batch without what it
    reads.

    >>> import torch
    >>> TokenBatchDesc()({"mask": torch.tensor([[True, True], [True, False]])})
    3
    >>> TokenBatchDesc(mask=None, ignore_index=-100)({"target": torch.tensor([[3, -100]])})
    1
    """

    def __init__(
        self, mask: str | None = "mask", ignore_index: int | None = None, target: str = "target"
    ) -> None:
        if mask is None and ignore_index is None:
            raise ArgumentError(
                "is None, and so is ignore_index", argument="mask", remedy="give one of them"
            )
        self.mask = mask
        self.ignore_index = ignore_index
        self.target = target

    def __call__(self, batch: Mapping[str, Any]) -> int:
        """The number of tokens."""
        if self.ignore_index is None:
            return int(require_key(batch, str(self.mask), "the batch").sum())
        target = require_key(batch, self.target, "the batch")
        return int(counted_tokens(batch, target, self.mask, self.ignore_index).sum())


def counted_tokens(
    batch: Mapping[str, Any], target: torch.Tensor, mask: str | None, ignore_index: int | None
) -> torch.Tensor:
    """Which tokens count: where the mask is True and the class is not the one to ignore.

    Args:
        batch (Mapping[str, Any]): has the mask.
        target (torch.Tensor): the classes.
        mask (str | None): the key of the mask; None: there is none.
        ignore_index (int | None): the class that does not count; None: all do.

    >>> counted_tokens({}, torch.tensor([[3, -100]]), mask=None, ignore_index=-100)
    tensor([[ True, False]])
    """
    counted = require_key(batch, mask, "the batch") if mask is not None else None
    if ignore_index is None:
        return torch.ones_like(target, dtype=torch.bool) if counted is None else counted
    is_class = target != ignore_index
    return is_class if counted is None else is_class & counted
