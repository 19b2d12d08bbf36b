"""What the errors are in the units of the table."""

from __future__ import annotations

import numpy as np


def errors(accumulated, unit):
    """The mean absolute error, and the share of the variance that is explained."""
    target = accumulated["target"]
    error = accumulated["prediction"] - target
    return {
        "absolute_error": np.abs(error).mean() * unit,
        "r2": 1 - np.square(error).mean() / target.var(),
    }
