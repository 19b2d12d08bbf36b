"""Isolation of jobs that share a process: what one of them sets does not reach the next."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from legoloop.core.rng import preserved_rng


@contextmanager
def preserve_process_state() -> Iterator[None]:
    """Restore, on leaving, generators, torch's thread count and default dtype.

    So are the working directory and the filters of warnings.

    >>> import torch
    >>> before = torch.get_num_threads()
    >>> with preserve_process_state():
    ...     torch.set_num_threads(before + 1)
    >>> torch.get_num_threads() == before
    True
    """
    import torch

    threads, dtype, here = torch.get_num_threads(), torch.get_default_dtype(), os.getcwd()
    with preserved_rng(), warnings.catch_warnings():
        try:
            yield
        finally:
            torch.set_num_threads(threads)
            torch.set_default_dtype(dtype)
            os.chdir(here)
