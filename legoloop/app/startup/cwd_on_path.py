"""Modules in the current folder, for the console scripts."""

from __future__ import annotations

import os
import sys


def find_modules_here() -> None:
    """What ``python -m`` does by itself, and a console script does not."""
    if not {"", os.getcwd()} & set(sys.path):
        sys.path.insert(0, os.getcwd())
