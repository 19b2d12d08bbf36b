"""The same task in the words of others: ``PLAIN`` with nothing but the loop, ``FEATURED`` with
a bar, TensorBoard every 50 steps, and a validation and the best weights every 1,000.

Each function trains what the task gives and returns nothing.
"""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

from bench.rounds import installed

PACKAGES: dict[str, tuple[str, ...]] = {
    "fabric": ("lightning",),
    "in_ignite": ("pytorch-ignite",),
    "accelerated": ("accelerate",),
    "in_lightning": ("lightning",),
    "in_skorch": ("skorch",),
    "hf_trainer": ("transformers", "accelerate"),
}
"""What each peer needs."""


def missing(peer: str) -> list[str]:
    """The packages that a peer needs and that are not installed."""
    return [package for package in PACKAGES[peer] if installed(package) is None]


def installed_peers() -> list[ModuleType]:
    """The peers that are installed."""
    return [import_module(f"bench.peers.{name}") for name in PACKAGES if not missing(name)]


def describe_versions() -> str:
    """Their versions, and which are not installed."""
    packages = dict.fromkeys(package for needed in PACKAGES.values() for package in needed)
    versions = {package: installed(package) for package in packages}
    return ", ".join(f"{name} {version or 'not installed'}" for name, version in versions.items())
