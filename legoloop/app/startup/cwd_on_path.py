"""Modules in the current folder, for the console scripts."""

from __future__ import annotations

import os
import sys


def modules_on_path() -> None:
    """What ``python -m`` does by itself, and a console script does not."""
    if not {"", os.getcwd()} & set(sys.path):
        sys.path.insert(0, os.getcwd())
