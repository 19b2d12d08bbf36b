"""What a run takes of the machine, as scalars."""

from __future__ import annotations

import time
from importlib.util import find_spec

import torch

from legoloop.core.errors import MissingExtraError
from legoloop.core.protocols import Scalars, TrainingProgress

SECONDS_BETWEEN = 1.0
"""At least, between two measurements: the mean load of a shorter time is noise."""
MB = 1e6


class SystemMetrics:
    """Reports what this process takes of the processors, the memory and the GPU.

    ``system/cpu_percent`` is the mean since the measurement before, 100 for one core at work, and
    ``system/memory_mb`` the resident memory, both of the process itself, without its workers. With
    a GPU, ``system/gpu_memory_mb`` is what torch has reserved, and ``system/gpu_utilization`` the
    percentage of the last moments in which the GPU was at work, whoever's. Megabytes are 10⁶ bytes.

    Measured when a logger asks, at most once a second and once a step, so that all loggers are told
    the same; in between, the values are those of the last measurement.

    Args:
        counter: tells the step.
        device: of the training.

    Raises:
        MissingExtraError: if the package psutil is not installed, or, with a GPU, nvidia-ml-py.

    >>> from legoloop.training.counter import Counter
    >>> sorted(SystemMetrics(Counter(), torch.device("cpu")).scalars())
    ['system/cpu_percent', 'system/memory_mb']
    """

    def __init__(self, counter: TrainingProgress, device: torch.device) -> None:
        for module, package in (("psutil", "psutil"), ("pynvml", "nvidia-ml-py")):
            if (module == "psutil" or device.type == "cuda") and find_spec(module) is None:
                raise MissingExtraError.of("SystemMetrics", package, "system")
        import psutil

        self.counter = counter
        self.device = device
        self._process = psutil.Process()
        self._process.cpu_percent()  # the first call begins to measure
        self._newest: Scalars = {}
        self._step = -1
        self._due = 0.0

    def scalars(self) -> Scalars:
        """The newest values by tag."""
        step, now = self.counter.steps, time.monotonic()
        if not self._newest or (step != self._step and now >= self._due):
            self._newest = self._measure()
            self._step, self._due = step, now + SECONDS_BETWEEN
        return self._newest

    def _measure(self) -> Scalars:
        with self._process.oneshot():
            measured = {
                "system/cpu_percent": self._process.cpu_percent(),
                "system/memory_mb": self._process.memory_info().rss / MB,
            }
        if self.device.type == "cuda":
            measured["system/gpu_memory_mb"] = torch.cuda.memory_reserved(self.device) / MB
            measured["system/gpu_utilization"] = float(torch.cuda.utilization(self.device))
        return measured
