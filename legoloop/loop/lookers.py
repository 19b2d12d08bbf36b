"""Plugins that only look: one that fails costs what it shows, not the run."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import wraps
from typing import Any

from legoloop.core.errors import ConfigError, UserError
from legoloop.loop.stages import Hook, Hooks, Stage

log = logging.getLogger("legoloop")


def only_looks(plugin: object) -> bool:
    """Whether a plugin says that nothing else of the run depends on it."""
    return getattr(plugin, "only_looks", False) is True


class FailedLookers:
    """Remembers which plugins that only look have failed, and calls them no more.

    A mistake in the configuration that one finds before the first step ends the run all the same:
    it costs no training yet.

    >>> class Breaks:
    ...     only_looks = True
    ...     def train_end(self): raise OSError("the disk is full")
    >>> lookers = FailedLookers()
    >>> (train_end,) = lookers.guarded("breaks", {Stage.TRAIN_END: Breaks().train_end}).values()
    >>> train_end()
    >>> lookers.causes
    {'breaks': "OSError('the disk is full')"}
    """

    def __init__(self) -> None:
        self.causes: dict[str, str] = {}

    def guarded(self, name: str, hooks: Hooks) -> Hooks:
        """The hooks of such a plugin, which raise nothing but what ends the run."""
        return {
            stage: self.guard(name, hook, refuses=stage is Stage.TRAIN_START)
            for stage, hook in hooks.items()
        }

    def guard(self, name: str, method: Hook, refuses: bool = False) -> Callable[..., Any]:
        """A method of such a plugin; ``refuses``: it may still refuse its configuration."""

        @wraps(method)
        def call(*args: Any) -> Any:
            if name in self.causes:
                return None
            try:
                return method(*args)
            except Exception as error:
                if refuses and isinstance(error, ConfigError):
                    raise
                self._leave_out(name, error)
                return None

        return call

    def _leave_out(self, name: str, error: Exception) -> None:
        is_told = isinstance(error, UserError)
        self.causes[name] = str(error) if is_told else repr(error)
        log.warning(
            "%s failed and is left out, the run goes on: %s",
            name,
            self.causes[name],
            exc_info=None if is_told else error,
        )
