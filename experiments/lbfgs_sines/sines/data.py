"""Sine waves of one period that begin anywhere."""

from __future__ import annotations

import numpy as np
import torch

import legoloop as ll


def sines(train=True, waves=30, others=3, length=60, future=40, period=6, seed=2):
    """Waves (waves, length + 1) of float64: for validation some others, and how they go on."""
    first = np.random.default_rng(seed).integers(-4 * period, 4 * period, (waves + others, 1))
    place = first + np.arange(length + 1 + future)
    wave = torch.from_numpy(np.sin(place / period))
    wave = wave[others:] if train else wave[:others]
    shown, later = wave[:, : length + 1], wave[:, length + 1 :]
    return ll.ColumnDataset({"wave": shown[:, :-1], "target": shown[:, 1:], "later": later})
