"""The cache through which the evaluations of one run share their passes."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, Protocol, runtime_checkable


class EvaluationCache:
    """Results of evaluation passes, each for one version of the weights.

    The host makes one for the evaluations among its plugins; an evaluation without a host has one
    of its own. Each evaluation counts the versions, one for each hook after which weights changed.

    >>> cache = EvaluationCache()
    >>> cache.get("val", version=0, compute=lambda: "computed")
    'computed'
    >>> cache.get("val", version=0, compute=lambda: "again"), len(cache)
    ('computed', 1)
    >>> cache.drop_older(version=1)
    >>> len(cache)
    0
    """

    def __init__(self) -> None:
        self._results: dict[tuple[Hashable, int], Any] = {}

    def __len__(self) -> int:
        return len(self._results)

    def get(self, pass_identity: Hashable, version: int, compute: Callable[[], Any]) -> Any:
        """The result of a pass; ``compute`` makes it unless it is there for this version."""
        key = (pass_identity, version)
        if key not in self._results:
            self._results[key] = compute()
        return self._results[key]

    def drop_older(self, version: int) -> None:
        """Drop the results for weights before this version."""
        if self._results:
            self._results = {key: r for key, r in self._results.items() if key[1] >= version}

    def clear(self) -> None:
        """Drop all results."""
        self._results = {}


@runtime_checkable
class UsesEvaluationCache(Protocol):
    """A plugin that takes the cache of its host, once the host is made."""

    def use_evaluation_cache(self, cache: EvaluationCache) -> None:
        """Share results through this cache."""
        ...
