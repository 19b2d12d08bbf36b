"""Deterministic algorithms of torch."""

from __future__ import annotations

import os

import torch

CUBLAS = "CUBLAS_WORKSPACE_CONFIG"


class DeterministicAlgorithms:
    """Makes torch use deterministic algorithms during the run.

    An operation without one raises an error that names it. Some operations take longer.

    Args:
        warn_only: whether such an operation warns instead.

    >>> deterministic = DeterministicAlgorithms()
    >>> deterministic.train_start()
    >>> torch.are_deterministic_algorithms_enabled()
    True
    >>> deterministic.close()
    >>> torch.are_deterministic_algorithms_enabled()
    False
    """

    trained_alone = "sets a mode of the process"

    def __init__(self, warn_only: bool = False) -> None:
        self.warn_only = warn_only
        self._before: tuple[bool, bool, bool, str | None] | None = None

    def train_start(self) -> None:
        """Enable deterministic algorithms."""
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
        """Restore the previous settings."""
        if self._before is None:
            return
        is_on, warns, torch.backends.cudnn.benchmark, cublas = self._before
        torch.use_deterministic_algorithms(is_on, warn_only=warns)
        if cublas is None:
            del os.environ[CUBLAS]
        self._before = None
