"""The settings of loaders and streams."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

from legoloop.core.arguments import at_least
from legoloop.core.errors import ArgumentError
from legoloop.core.protocols import Batch
from legoloop.data.collation import collate as stack
from legoloop.data.sampling import Sampler

CALLABLE_FIELDS = ("collate", "sampler")
"""The settings that are functions; a configuration gives them as nodes with a _target_."""


@dataclass(frozen=True)
class LoaderConfig:
    """The settings of a Loader or a BatchStream; the keys of ``data.loaders.<name>``.

    Args:
        batch_size: samples per training batch.
        num_workers: worker processes; 0 fetches in this process.
        shuffle: whether a BatchStream shuffles each pass; a Loader never does.
        pin_memory: whether batches are pinned; None: if the device is a GPU. No effect without one.
        prefetch_factor: batches that each worker fetches ahead.
        timeout: seconds to wait for a worker; 0: without limit.
        eval_batch_size: samples per batch of a Loader, and of ``BatchStream.peek``; None:
            ``batch_size``.
        collate: makes a batch of a list of records, such as a PadCollate.
        sampler: chooses the samples of each pass of a BatchStream instead of ``shuffle``, such as a
            ClassBalancedSampler.

    Raises ArgumentError for values out of range.

    >>> LoaderConfig(batch_size=0)
    Traceback (most recent call last):
    legoloop.core.errors.ArgumentError: batch_size is 0; give a whole number of at least 1
    """

    batch_size: int = 256
    num_workers: int = 0
    shuffle: bool = True
    pin_memory: bool | None = None
    prefetch_factor: int = 2
    timeout: float = 0
    eval_batch_size: int | None = None
    collate: Callable[[list[Any]], Batch] = stack
    sampler: Sampler | None = None

    def __post_init__(self) -> None:
        at_least(1, batch_size=self.batch_size, prefetch_factor=self.prefetch_factor)
        at_least(0, num_workers=self.num_workers)
        if self.eval_batch_size is not None:
            at_least(1, eval_batch_size=self.eval_batch_size)
        if not isinstance(self.shuffle, bool):
            raise ArgumentError(
                f"is {self.shuffle!r}", argument="shuffle", remedy="give true or false"
            )
        if not isinstance(self.pin_memory, bool | None):
            raise ArgumentError(
                f"is {self.pin_memory!r}", argument="pin_memory", remedy="give true, false or null"
            )
        if not isinstance(self.timeout, int | float) or not self.timeout >= 0:
            raise ArgumentError(
                f"is {self.timeout!r}", argument="timeout", remedy="give seconds, 0 for none"
            )
        for key in CALLABLE_FIELDS:
            given = getattr(self, key)
            if not callable(given) and not (given is None and key == "sampler"):
                raise ArgumentError(
                    f"is {given!r}", argument=key, remedy="give a function, or its _target_"
                )

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """The names of the settings."""
        return tuple(field.name for field in fields(cls))

    @property
    def resolved_eval_batch_size(self) -> int:
        """``eval_batch_size``, or ``batch_size`` if that is None."""
        return self.eval_batch_size or self.batch_size
