"""The command line as a whole: flags and overrides."""

from __future__ import annotations

import re
from collections.abc import Sequence
from difflib import get_close_matches

from legoloop.app.config.settings import TOP_LEVEL
from legoloop.app.hydra_bridge.internals import FLAGS, ArgumentsRefused, parse_arguments
from legoloop.core.errors import ConfigError


def check_flags(arguments: Sequence[str]) -> None:
    """Raises ConfigError for a flag that Hydra does not know, or that goes past what ships.

    >>> check_flags(["-m", "--config-dir=mine", "seed=1,2"])
    >>> check_flags(["--seed=3"])
    Traceback (most recent call last):
    legoloop.core.errors.ConfigError: --seed=3: is no flag; overrides have no dashes: write seed=3
    """
    try:
        given = parse_arguments(arguments)
    except ArgumentsRefused as error:
        raise _refused(str(error), arguments) from None
    if given.experimental_rerun is not None:
        raise ConfigError("--experimental-rerun: goes past all checks; give rerun=RUN instead")
    if given.config_path is not None:
        raise ConfigError(
            "takes the place of all groups that ship",
            key="--config-path",
            remedy=f"write --config-dir={given.config_path}",
        )


def overrides_in(arguments: Sequence[str]) -> list[str]:
    """The overrides of a command line; none if its flags cannot be read."""
    try:
        return list(parse_arguments(arguments).overrides)
    except ArgumentsRefused:
        return []


def _refused(message: str, arguments: Sequence[str]) -> ConfigError:
    unknown = re.match(r"unrecognized arguments: (\S+)", message)
    if unknown is None:
        return ConfigError(message, remedy="--hydra-help lists the flags")
    flag, equals, value = unknown[1].partition("=")
    if not equals and unknown[1] in arguments[:-1]:
        after = arguments[list(arguments).index(unknown[1]) + 1]
        value = "" if after.startswith("-") or "=" in after else after
    name = flag.lstrip("-")
    if equals or name.partition(".")[0] in TOP_LEVEL:
        remedy = f"overrides have no dashes: write {name}={value or '…'}"
    elif close := get_close_matches(flag, FLAGS, n=1, cutoff=0.6):
        remedy = f"did you mean {close[0]}?"
    else:
        remedy = "--hydra-help lists the flags"
    return ConfigError("is no flag", key=unknown[1], remedy=remedy)
