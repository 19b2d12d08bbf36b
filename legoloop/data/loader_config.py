"""The settings of loaders and streams."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, fields
from typing import Any

from legoloop.core.arguments import at_least
from legoloop.core.errors import ArgumentError
from legoloop.core.protocols import Batch
from legoloop.core.suggestions import did_you_mean
from legoloop.core.text import shown
from legoloop.data.collation import collate as stack
from legoloop.data.sampling import Sampler

Settings = Mapping[str, Any]

MOST_WORKERS, WORKERS_PER_CORE = 64, 8
"""So many processes may always be asked for, or so many for each core, if that is more."""
CALLABLE_FIELDS = ("collate", "sampler")
"""The settings that are functions; a configuration gives them as nodes with a _target_."""


@dataclass(frozen=True)
class LoaderConfig:
    """The settings of a Loader or a BatchStream; the keys of ``data.loaders.<name>``.

    Args:
        batch_size: samples per training batch.
        num_workers: worker processes; 0 fetches in this process.
        drop_last: whether a BatchStream leaves out a short batch at the end of a pass; a Loader
            never does.
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
    drop_last: bool = False
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
        cores = os.cpu_count() or 1
        if self.num_workers > (most := max(MOST_WORKERS, WORKERS_PER_CORE * cores)):
            raise ArgumentError(
                f"is {self.num_workers}",
                argument="num_workers",
                remedy=f"give at most {most}; this machine has {cores} cores",
            )
        if self.eval_batch_size is not None:
            at_least(1, eval_batch_size=self.eval_batch_size)
        for name in ("drop_last", "shuffle"):
            if not isinstance(getattr(self, name), bool):
                raise ArgumentError(
                    f"is {shown(getattr(self, name))}", argument=name, remedy="give true or false"
                )
        if not isinstance(self.pin_memory, bool | None):
            raise ArgumentError(
                f"is {shown(self.pin_memory)}",
                argument="pin_memory",
                remedy="give true, false or null",
            )
        if not isinstance(self.timeout, int | float) or not self.timeout >= 0:
            raise ArgumentError(
                f"is {shown(self.timeout)}", argument="timeout", remedy="give seconds, 0 for none"
            )
        for key in CALLABLE_FIELDS:
            given = getattr(self, key)
            if not callable(given) and not (given is None and key == "sampler"):
                raise ArgumentError(
                    f"is {shown(given)}", argument=key, remedy="give a function, or its _target_"
                )

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """The names of the settings."""
        return tuple(field.name for field in fields(cls))

    @property
    def resolved_eval_batch_size(self) -> int:
        """``eval_batch_size``, or ``batch_size`` if that is None."""
        return self.eval_batch_size or self.batch_size


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
        raise ArgumentError(f"is {shown(given)}", argument=key, remedy="give settings by name")
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
