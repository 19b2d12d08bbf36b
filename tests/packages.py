"""What tests need beside the package, found without importing it: that takes seconds a worker."""

from __future__ import annotations

from importlib.util import find_spec

import pytest


def needs(*names: str) -> None:
    """Skip the rest of a test module unless these packages are installed."""
    for name in names:
        if find_spec(name) is None:
            pytest.skip(f"needs {name}", allow_module_level=True)
