"""Errors that say that the memory is not enough, and what to do about them."""

from __future__ import annotations

import re

import torch

from legoloop.core.errors import DataError
from legoloop.core.text import in_one_line

OF_THE_CPU = "can't allocate memory"
"""What torch says where the memory of the machine is not enough; it has no class for it."""


def out_of_memory(what: str, remedy: str, error: BaseException) -> DataError:
    """The error to raise in place of torch's.

    Args:
        what (str): for what the memory is not enough.
        remedy (str): what to do.
        error (BaseException): what torch raised.

    >>> error = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has")
    >>> str(out_of_memory("a batch", "give a smaller one", error))
    'the memory is not enough for a batch; give a smaller one (CUDA out of memory. Tried to \
allocate 2.00 GiB.)'
    """
    return DataError(f"the memory is not enough for {what}; {remedy} ({_beginning(error)})")


def is_out_of_memory(error: BaseException | None) -> bool:
    """Whether an error, or what it was made of, says that the memory is not enough.

    >>> is_out_of_memory(RuntimeError("sizes do not match"))
    False
    """
    if error is None:
        return False
    is_it = isinstance(error, torch.OutOfMemoryError) or OF_THE_CPU in str(error)
    return is_it or is_out_of_memory(error.__cause__)


def _beginning(error: BaseException) -> str:
    """Without what torch reports about its allocator."""
    said = in_one_line(error)
    return re.split(r"(?<=[a-zA-Z])\. (?!Tried)|\. See", said)[0].rstrip(".") + "."
