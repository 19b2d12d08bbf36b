"""The mistakes that legoloop answers with a short message instead of a traceback."""

from __future__ import annotations


class UserError(Exception):
    """A mistake of the user's: its message alone is shown, never a traceback.

    >>> raise UserError("epoch_size is 0; give a positive number of samples")
    Traceback (most recent call last):
    legoloop.core.errors.UserError: epoch_size is 0; give a positive number of samples
    """


class ConfigError(UserError):
    """A mistake in the configuration: found before anything is created, exit status 2."""


class ArgumentError(ConfigError, ValueError):
    """A brick was given a value that it cannot work with; the message begins with its name.

    Also a ValueError, since that is what code that builds bricks by hand expects.
    """


class PluginError(ConfigError):
    """Plugins that cannot make a loop: a misspelt stage, a cycle, no epoch driver."""


class DataError(UserError):
    """Something wrong in the data, found while it is read or used, exit status 1."""


class MissingExtraError(ConfigError, ImportError):
    """An optional dependency that is not installed; the message names the extra."""

    @classmethod
    def of(cls, brick: str, package: str, extra: str) -> MissingExtraError:
        """The error for a brick that needs a package which an extra brings."""
        return cls(
            f"{brick} needs {package}, which is not installed; "
            f"install it with: pip install 'legoloop[{extra}]'"
        )
