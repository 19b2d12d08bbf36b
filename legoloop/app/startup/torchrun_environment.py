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


def local_ranks(ranks: int) -> int:
    """How many of so many ranks this machine has."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", ranks)) if has_started() else ranks


def with_ranks(arguments: Sequence[str]) -> list[str]:
    """The arguments of the command, with the number of ranks that torchrun has started.

    Raises ConfigError for another number, and for a sweep.
    """
    size = os.environ["WORLD_SIZE"]
    if {"-m", "--multirun"} & set(arguments):
        raise ConfigError(
            "torchrun has started ranks, which train one run, but -m asks for a sweep",
            remedy="start the sweep without torchrun, with ranks=…",
        )
    given = [each.partition("=")[2] for each in arguments if each.startswith("ranks=")]
    if given and given[-1] != size:
        raise ConfigError(f"is {given[-1]}, but torchrun has started {size}", key="ranks")
    return [*arguments, f"ranks={size}"]
