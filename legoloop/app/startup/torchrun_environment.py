"""What torchrun tells the processes that it starts, in their environment."""

from __future__ import annotations

import os
from collections.abc import Sequence

from legoloop.core.errors import ConfigError


def has_started() -> bool:
    """Whether torchrun has started this process as one of several ranks."""
    return "TORCHELASTIC_RUN_ID" in os.environ and int(os.environ.get("WORLD_SIZE", "1")) > 1


def is_first() -> bool:
    """Whether this process is rank 0."""
    return os.environ.get("RANK") == "0"


def local_ranks(ranks: int, nodes: int) -> int:
    """How many of so many ranks, on so many machines, this machine has."""
    here = ranks // nodes
    return int(os.environ.get("LOCAL_WORLD_SIZE", here)) if has_started() else here


def with_ranks(arguments: Sequence[str]) -> list[str]:
    """The arguments of the command, with the number of ranks that torchrun has started.

    Raises ConfigError for another number of ranks or machines, and for a sweep.
    """
    if {"-m", "--multirun"} & set(arguments):
        raise ConfigError(
            "torchrun has started ranks, which train one run, but -m asks for a sweep",
            remedy="start the sweep without torchrun, with ranks=…",
        )
    has = {"ranks": os.environ["WORLD_SIZE"], "nodes": os.environ.get("GROUP_WORLD_SIZE", "1")}
    for key, number in has.items():
        given = [each.partition("=")[2] for each in arguments if each.startswith(f"{key}=")]
        if given and given[-1] != number:
            raise ConfigError(f"is {given[-1]}, but torchrun has {number}", key=key)
    return [*arguments, f"ranks={has['ranks']}"]
