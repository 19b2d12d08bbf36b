"""A table on the disk."""

from __future__ import annotations

import pandas as pd
import torch

import legoloop as ll


def table(path, target, train=True, hold_out=5):
    """The rows of a CSV file, standardised by those for training; every fifth is for validation."""
    rows = pd.read_csv(path)
    is_held_out = rows.index % hold_out == 0
    mean, std = (f(rows[~is_held_out]) for f in (pd.DataFrame.mean, pd.DataFrame.std))
    chosen = rows[is_held_out != train]
    scaled = (chosen - mean) / std
    return ll.ColumnDataset(
        {
            "features": torch.tensor(scaled.drop(columns=target).to_numpy(), dtype=torch.float32),
            "target": torch.tensor(scaled[target].to_numpy(), dtype=torch.float32),
            "idx": torch.tensor(chosen.index.to_numpy()),
        },
        task="regression",
        input_key="features",
        num_features=len(rows.columns) - 1,
        num_outputs=1,
        unit=float(std[target]),
    )
