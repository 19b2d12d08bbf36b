"""Anomaly detection of torch.autograd."""

from __future__ import annotations

from contextlib import ExitStack

import torch


class DetectAnomaly:
    """Enables torch's anomaly detection during the run.

    The backward pass then fails at the first nan, with a traceback of the operation of the forward
    pass that it belongs to. Training takes several times as long.

    >>> anomaly = DetectAnomaly()
    >>> anomaly.train_start()
    >>> torch.is_anomaly_enabled()
    True
    >>> anomaly.close()
    >>> torch.is_anomaly_enabled()
    False
    """

    trained_alone = "sets a mode of the process"

    def __init__(self) -> None:
        self._detection = ExitStack()

    def train_start(self) -> None:
        self._detection.enter_context(torch.autograd.set_detect_anomaly(True))

    def close(self) -> None:
        """Restore the previous setting."""
        self._detection.close()
