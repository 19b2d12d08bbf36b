from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn

import legoloop as ll
from tests.tiny import tiny

PREDICT = """
import sys, numpy, torch
from tests.tiny import Net, tiny
model = Net()
model.load_state_dict(torch.load(sys.argv[1]))
model.eval()
with torch.no_grad():
    logits = [model(batch)["logits"] for batch in tiny().loaders["val"]]
numpy.save(sys.argv[2], torch.cat(logits).numpy())
"""


def test_reproduce_the_predictions_in_a_fresh_process(tmp_path: Path) -> None:
    parts = tiny()
    acc = parts.loaders_acc()
    parts.trained(
        acc,
        ll.CsvLogits(tmp_path / "predicts.csv", acc, acc_key="val"),
        ll.SaveModelWeights(parts.model, tmp_path / "weights"),
    )

    files = [str(tmp_path / "weights"), str(tmp_path / "logits.npy")]
    root = Path(__file__).parents[2]
    subprocess.run([sys.executable, "-c", PREDICT, *files], check=True, cwd=root)

    table = pd.read_csv(tmp_path / "predicts.csv").iloc[:, 1:].to_numpy(np.float32)
    np.testing.assert_array_equal(np.load(tmp_path / "logits.npy"), table)


def test_what_a_module_says_of_itself_is_saved_too(tmp_path: Path) -> None:
    class Extra(nn.Module):
        _version = 3
        told: Any = None

        def get_extra_state(self) -> dict[str, int]:
            return {"steps": 7}

        def set_extra_state(self, state: dict[str, int]) -> None:
            self.told = state

        def _load_from_state_dict(self, state: Any, prefix: str, metadata: Any, *rest: Any) -> None:
            assert metadata["version"] == 3
            super()._load_from_state_dict(state, prefix, metadata, *rest)

    ll.SaveModelWeights(nn.Sequential(Extra()), tmp_path / "weights").train_end()

    fresh = nn.Sequential(Extra())
    fresh.load_state_dict(torch.load(tmp_path / "weights"))
    assert fresh[0].told == {"steps": 7}


def test_leaves_the_model_where_it_is(tmp_path: Path) -> None:
    model = nn.Linear(2, 2)
    before = model.weight
    ll.SaveModelWeights(model, tmp_path / "weights").train_end()
    assert model.weight is before
    assert model.weight.requires_grad
