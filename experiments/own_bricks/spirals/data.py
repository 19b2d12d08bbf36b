"""Points on spirals that start at one centre: a class an arm."""

from __future__ import annotations

from math import pi

import numpy as np


class Spirals:
    """``arms`` spirals of ``samples`` points in all, each making ``turns`` turns.

    Every time a point is asked for it is shifted by ``noise``, drawn from numpy's own generator.
    """

    task = "multiclass"
    num_features = 2
    input_key = "point"

    def __init__(self, samples, arms=3, turns=0.75, noise=0.0):
        position = np.arange(samples)
        self.target = position % arms
        self.radius = (position + 0.5) / samples
        self.angle = 2 * pi * (turns * self.radius + self.target / arms)
        self.noise = noise
        self.num_outputs = arms

    def __len__(self):
        return len(self.target)

    def __getitem__(self, item):
        angle = self.angle[item]
        point = self.radius[item] * np.array([np.cos(angle), np.sin(angle)])
        shifted = point + self.noise * np.random.randn(2)
        return {"idx": item, "point": shifted.astype(np.float32), "target": self.target[item]}
