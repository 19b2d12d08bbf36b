"""Operations of torch that give the same bits each time, and no others."""

from __future__ import annotations

import os

import torch

CUBLAS = "CUBLAS_WORKSPACE_CONFIG"


class DeterministicAlgorithms:
    """Lets torch take deterministic operations only during the run, and then what it took before.

    An operation of which there is none raises, and its message names it; with ``warn_only`` it
    warns. Some operations take longer so.

    >>> deterministic = DeterministicAlgorithms()
    >>> deterministic.train_start()
    >>> torch.are_deterministic_algorithms_enabled()
    True
    >>> deterministic.close()
    >>> torch.are_deterministic_algorithms_enabled()
    False
    """

    def __init__(self, warn_only: bool = False) -> None:
        self.warn_only = warn_only
        self._before: tuple[bool, bool, bool, str | None] | None = None

    def train_start(self) -> None:
        """Deterministic from here on."""
        self._before = (
            torch.are_deterministic_algorithms_enabled(),
            torch.is_deterministic_algorithms_warn_only_enabled(),
            torch.backends.cudnn.benchmark,
            os.environ.get(CUBLAS),
        )
        torch.use_deterministic_algorithms(True, warn_only=self.warn_only)
        torch.backends.cudnn.benchmark = False  # it may choose another algorithm each time
        os.environ.setdefault(CUBLAS, ":4096:8")  # without it, matrix products on a GPU raise

    def close(self) -> None:
        """As it was."""
        if self._before is None:
            return
        is_on, warns, torch.backends.cudnn.benchmark, cublas = self._before
        torch.use_deterministic_algorithms(is_on, warn_only=warns)
        if cublas is None:
            del os.environ[CUBLAS]
        self._before = None
