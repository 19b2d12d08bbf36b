"""Several hosts in lockstep: in each step they wait for each other, and share a computation."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from types import TracebackType
from typing import Any, Protocol

from legoloop.core.rng import get_rng_state, preserved_rng
from legoloop.loop.step import Step


class Lockstep(Protocol):
    """What a host that is trained together with others has of that.

    It is a context manager: while inside, which is during the batches of an epoch, what the host
    trains may lie in memory that the hosts share.

    Attributes:
        plugin (str): the name of the plugin before whose ``batch`` hook they wait.
        step (Step): what carries a step of this host.
    """

    plugin: str

    @property
    def step(self) -> Step: ...

    def __enter__(self) -> object: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...

    def left(self) -> AbstractContextManager[object]:
        """While inside, nothing lies in shared memory: the state may be saved."""
        ...


class OwnGenerators:
    """The random number generators of a host, which others may use while it has them kept.

    >>> import torch
    >>> generators = OwnGenerators()
    >>> with generators.kept():
    ...     drawn = torch.rand(1)
    >>> bool(torch.rand(1) == drawn)
    True
    """

    def __init__(self) -> None:
        self._kept: dict[str, Any] | None = None

    def state(self) -> dict[str, Any]:
        """Their state, kept or not."""
        return get_rng_state(self._kept)

    @contextmanager
    def kept(self) -> Iterator[None]:
        """While inside, what is drawn does not count; at the end they are as they were."""
        with preserved_rng() as self._kept:
            try:
                yield
            finally:
                self._kept = None
