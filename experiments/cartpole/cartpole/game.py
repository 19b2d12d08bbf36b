"""The game of Barto, Sutton and Anderson (1983): push a cart so that the pole on it stays up."""

from __future__ import annotations

from math import cos, pi, sin

import torch

GRAVITY, CART, POLE, HALF_LENGTH, FORCE, SECONDS = 9.8, 1.0, 0.1, 0.5, 10.0, 0.02
FARTHEST, STEEPEST = 2.4, 12 * pi / 180


class CartPole:
    """An episode; its state is (position, speed, angle, angular speed)."""

    def __init__(self):
        self.state = (0.1 * torch.rand(4) - 0.05).tolist()

    @property
    def is_over(self):
        position, _, angle, _ = self.state
        return abs(position) > FARTHEST or abs(angle) > STEEPEST

    def push(self, to_the_right):
        position, speed, angle, turning = self.state
        mass, moment = CART + POLE, POLE * HALF_LENGTH
        force = FORCE if to_the_right else -FORCE
        pushed = (force + moment * turning**2 * sin(angle)) / mass
        inertia = HALF_LENGTH * (4 / 3 - POLE * cos(angle) ** 2 / mass)
        turned = (GRAVITY * sin(angle) - pushed * cos(angle)) / inertia
        moved = pushed - moment * turned * cos(angle) / mass
        self.state = [
            position + SECONDS * speed,
            speed + SECONDS * moved,
            angle + SECONDS * turning,
            turning + SECONDS * turned,
        ]
