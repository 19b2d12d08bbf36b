"""Interruptions, such as a signal's, deferred to the next safe point."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from legoloop.core.ranks import Ranks


class Interruption:
    """Raises an interruption at once, or as soon as nothing is left half done.

    Several ranks agree on it first, at their next exchange, so that they all end at one place.

    >>> interruption = Interruption()
    >>> with interruption.deferring():
    ...     interruption.request(TimeoutError("SIGTERM"))
    ...     print("the step ends")
    Traceback (most recent call last):
    TimeoutError: SIGTERM
    """

    def __init__(self, ranks: Ranks | None = None) -> None:
        self.ranks = ranks or Ranks()
        self._own: BaseException | None = None
        self._is_deferring = False

    @property
    def pending(self) -> BaseException | None:
        """What was requested, or agreed on by all ranks."""
        return self._own or self.ranks.interruption

    def request(self, interruption: BaseException) -> None:
        """Raise the interruption, now or when the outermost ``deferring`` ends."""
        if not self.ranks.is_alone:
            self.ranks.notice(interruption)
            return
        self._own = interruption
        if not self._is_deferring:
            raise interruption

    @contextmanager
    def deferring(self) -> Iterator[None]:
        """What happens inside is not left in the middle."""
        is_outermost, self._is_deferring = not self._is_deferring, True
        try:
            yield
        finally:
            self._is_deferring = not is_outermost
        if is_outermost and self.pending is not None:
            raise self.pending

    @contextmanager
    def raising_at_once(self) -> Iterator[None]:
        """What happens inside ``deferring``, but may be left in the middle.

        >>> interruption = Interruption()
        >>> with interruption.deferring(), interruption.raising_at_once():
        ...     interruption.request(TimeoutError("SIGTERM"))
        ...     print("the evaluation ends")
        Traceback (most recent call last):
        TimeoutError: SIGTERM
        """
        was_deferring, self._is_deferring = self._is_deferring, False
        try:
            yield
        finally:
            self._is_deferring = was_deferring

    @contextmanager
    def replacing_errors(self) -> Iterator[None]:
        """An error that follows an interruption comes of it: worker processes get signals too."""
        try:
            yield
        except Exception as error:
            if self.pending is None:
                raise
            raise self.pending from error
