"""Modules in the current folder, for the console scripts."""

from __future__ import annotations

import os
import sys

from legoloop.core.errors import ConfigError


def modules_on_path() -> None:
    """What ``python -m`` does by itself, and a console script does not.

    Raises ConfigError if there is no current folder any more.
    """
    try:
        here = os.getcwd()
    except FileNotFoundError:
        raise ConfigError(
            "the working directory was removed", remedy="change to one that exists"
        ) from None
    if not {"", here} & set(sys.path):
        sys.path.insert(0, here)
