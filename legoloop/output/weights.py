"""The final weights of a run."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from legoloop.core.whole_files import whole_file


class SaveModelWeights:
    """At the end of the training, writes the model's state dict, on the CPU, to a file.

    Read it back with ``model.load_state_dict(torch.load(path))``.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "weights"
    >>> SaveModelWeights(nn.Linear(1, 1), path).train_end()
    >>> sorted(torch.load(path))
    ['bias', 'weight']
    """

    def __init__(self, model: nn.Module, path: str | Path) -> None:
        self.model = model
        self.path = Path(path)

    def train_end(self) -> None:
        """Write the file."""
        weights = self.model.state_dict()
        for name, value in weights.items():
            if isinstance(value, torch.Tensor):
                weights[name] = value.cpu()
        # Into a file object: torch would write the name of a path into the file.
        with whole_file(self.path) as draft, draft.open("wb") as file:
            torch.save(weights, file)
