"""Errors that are the user's to correct: shown as one line, without a traceback.

Such an error is a value: what is wrong, of which key or argument, where that was set, and what
would be right are fields of it. The message is made of them in one place, ``ConfigError.__str__``,
so nobody has to take a message apart.
"""

from __future__ import annotations

from copy import copy
from typing import Final, Self

from legoloop.core.text import brief, printable


class UserError(Exception):
    """A mistake of the user's: its message alone is shown, never a traceback.

    >>> raise UserError("the run directory is empty")
    Traceback (most recent call last):
    legoloop.core.errors.UserError: the run directory is empty
    """

    def __str__(self) -> str:
        """The message; what a terminal would obey in names and values is escaped."""
        return printable(super().__str__(), keep="\n")


class ConfigError(UserError):
    """A mistake in the configuration: found before anything is created, exit status 2.

    Args:
        problem (str): what is wrong; after a ``key`` it has no subject: ``"is -1"``.
        key (str | None): the full path of the key that it concerns, such as ``optimizer.lr``.
        where (str | None): where that key was set, such as ``config.yaml, line 3``.
        remedy (str | None): what would be right: ``"give a number above 0"``, or what
            ``did_you_mean`` says.

    >>> raise ConfigError("is -1", key="optimizer.lr", where="command line", remedy="give more")
    Traceback (most recent call last):
    legoloop.core.errors.ConfigError: optimizer.lr (command line): is -1; give more
    """

    def __init__(
        self,
        problem: str,
        *,
        key: str | None = None,
        where: str | None = None,
        remedy: str | None = None,
    ) -> None:
        super().__init__(problem)
        self.problem: Final = problem
        self.key: Final = key
        self.where: Final = where
        self.remedy: Final = remedy

    def __str__(self) -> str:
        """The message: ``key (where): problem; remedy``, as far as these are known.

        What is echoed of the user's is cut if it is long, and escaped if it would not be seen.
        """
        place = f" ({self.where})" if self.where else ""
        subject = f"{printable(self.key)}{place}: " if self.key else ""
        what = "; ".join(filter(None, (self.problem, self.remedy)))
        return brief(subject + printable(what, keep="\n\t"))

    def located(self, *, key: str | None = None, where: str | None = None) -> Self:
        """A copy of this error with the key, where it was set, or both.

        >>> str(ConfigError("is -1").located(key="lr").located(where="command line"))
        'lr (command line): is -1'
        """
        return self._replaced(key=key or self.key, where=where or self.where)

    def _replaced(self, **fields: str | None) -> Self:
        error = copy(self)
        vars(error).update(fields)
        return error


class ArgumentError(ConfigError, ValueError):
    """A component was given a value that it cannot work with.

    Also a ValueError, since that is what code that builds components by hand expects.

    Args:
        problem (str): what is wrong; after an ``argument`` it has no subject: ``"is -1"``.
        argument (str | None): the name of the parameter, or a path into its value, such as
            ``hidden[0]``. Stands in the message for the key, as long as there is none.
        remedy (str | None): what would be right.

    >>> error = ArgumentError("is -1", argument="lr", remedy="give a number above 0")
    >>> str(error)
    'lr is -1; give a number above 0'
    >>> str(error.located(key=f"optimizer.{error.argument}"))
    'optimizer.lr: is -1; give a number above 0'
    """

    def __init__(
        self, problem: str, *, argument: str | None = None, remedy: str | None = None
    ) -> None:
        super().__init__(problem, remedy=remedy)
        self.argument: Final = argument

    def __str__(self) -> str:
        """The message: ``argument problem; remedy``, or that of a ConfigError once it has a key."""
        message = super().__str__()
        return message if self.key or not self.argument else f"{self.argument} {message}"

    def nested(self, path: str) -> Self:
        """A copy of this error for the caller's caller: its argument lies at ``path`` there.

        >>> str(ArgumentError("is 0", argument="batch_size").nested("loaders.train"))
        'loaders.train.batch_size is 0'
        """
        return self._replaced(argument=".".join(filter(None, (path, self.argument))))


class PluginError(ConfigError):
    """Plugins that cannot make a loop: a misspelt stage, a cycle, no epoch driver."""


class DataError(UserError):
    """Something wrong in the data, found while it is read or used, exit status 1."""


class MissingExtraError(ConfigError, ImportError):
    """An optional dependency that is not installed; the message names the extra."""

    @classmethod
    def of(cls, component: str, package: str, extra: str) -> MissingExtraError:
        """The error for a component that needs a package which an extra brings."""
        return cls(
            f"{component} needs {package}, which is not installed",
            remedy=f"install it with: pip install 'legoloop[{extra}]'",
        )
