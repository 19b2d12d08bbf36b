"""Handwritten digits, and questions about them."""

from __future__ import annotations

import torch
from sklearn.datasets import load_digits

import legoloop as ll


def digits(train=True, samples=None):
    """Which digit is it? Every fifth image is for validation."""
    image, target = map(torch.from_numpy, load_digits(return_X_y=True))
    rows = (torch.arange(len(target)) % 5 != 0) == train
    columns = {
        "image": image[rows].float() / 16,
        "target": target[rows],
        "idx": rows.nonzero()[:, 0],
    }
    columns = {name: column[:samples] for name, column in columns.items()}
    return ll.ColumnDataset(columns, task="multiclass", num_outputs=10)


def parity(train=True, samples=None):
    """Is it even or odd?"""
    columns = digits(train, samples).columns
    columns["target"] = columns["target"] % 2
    return ll.ColumnDataset(columns, task="multiclass", num_outputs=2)
