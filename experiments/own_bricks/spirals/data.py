"""Points on spirals that start at one centre: each spiral is a class."""

from __future__ import annotations

from math import pi

import numpy as np


class Spirals:
    """``samples`` points on ``arms`` spirals, each of which makes ``turns`` turns.

    A point is shifted anew whenever it is asked for, by ``noise`` from numpy's own generator.
    """

    task = "multiclass"
    num_features = 2
    input_key = "point"

    def __init__(self, samples, arms=3, turns=0.75, noise=0.0):
        position = np.arange(samples)
        self.target = position % arms
        radius = (position + 0.5) / samples
        angle = 2 * pi * (turns * radius + self.target / arms)
        self.points = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)
        self.noise = noise
        self.num_outputs = arms

    def __len__(self):
        return len(self.points)

    def __getitem__(self, item):
        point = self.points[item] + self.noise * np.random.randn(2)
        return {"idx": item, "point": point.astype(np.float32), "target": self.target[item]}
