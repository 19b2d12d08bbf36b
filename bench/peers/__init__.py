"""The same task in the words of others: ``PLAIN`` with nothing but the loop, ``FEATURED`` with
a bar, TensorBoard every 50 steps, and a validation and the best weights every 1,000.

Each function trains what the task gives and returns nothing.
"""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

from bench.rounds import installed

PACKAGES = {
    "fabric": "lightning",
    "in_ignite": "pytorch-ignite",
    "accelerated": "accelerate",
    "in_lightning": "lightning",
    "in_skorch": "skorch",
    "hf_trainer": "transformers",
}


def there() -> list[ModuleType]:
    """The peers that are installed."""
    return [import_module(f"bench.peers.{name}") for name in PACKAGES if installed(PACKAGES[name])]


def told() -> str:
    """Which versions they are, and which are missing."""
    versions = {package: installed(package) for package in PACKAGES.values()}
    told = [f"{package} {version or 'not installed'}" for package, version in versions.items()]
    return ", ".join(told)
