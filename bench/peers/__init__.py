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


def installed_peers() -> list[ModuleType]:
    """The peers that are installed."""
    return [import_module(f"bench.peers.{name}") for name in PACKAGES if installed(PACKAGES[name])]


def describe_versions() -> str:
    """Their versions, and which are not installed."""
    versions = {package: installed(package) for package in PACKAGES.values()}
    return ", ".join(f"{name} {version or 'not installed'}" for name, version in versions.items())
