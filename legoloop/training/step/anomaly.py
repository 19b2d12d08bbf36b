"""Where in the forward pass a gradient that is not a number comes from."""

from __future__ import annotations

from contextlib import ExitStack

import torch


class DetectAnomaly:
    """Turns torch's anomaly detection on for the run, and back to what it was afterwards.

    The backward pass then stops at the first nan, and tells by a traceback which line of the
    forward pass it belongs to. Everything takes several times as long.

    >>> anomaly = DetectAnomaly()
    >>> anomaly.train_start()
    >>> torch.is_anomaly_enabled()
    True
    >>> anomaly.close()
    >>> torch.is_anomaly_enabled()
    False
    """

    def __init__(self) -> None:
        self._on = ExitStack()

    def train_start(self) -> None:
        """On."""
        self._on.enter_context(torch.autograd.set_detect_anomaly(True))

    def close(self) -> None:
        """As it was."""
        self._on.close()
