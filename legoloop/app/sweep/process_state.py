"""The process, left as it was found: what one job of a sweep sets does not reach the next."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from legoloop.core.rng import preserved_rng

if TYPE_CHECKING:
    from hydra.types import TaskFunction
    from omegaconf import DictConfig


@contextmanager
def preserve_process_state() -> Iterator[None]:
    """Whatever is drawn or set inside, generators, torch's threads and default type come back.

    So do the working directory and the filters of warnings.

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


def run_isolated(task: TaskFunction, tree: DictConfig) -> object:
    """What the task returns for the tree."""
    with preserve_process_state():
        return task(tree)
