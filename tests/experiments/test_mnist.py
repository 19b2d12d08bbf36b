from __future__ import annotations

from pathlib import Path

import pandas as pd
import torch

from tests.experiments.projects import commands, completed, copied
from tests.zoo.idx_writing import images_of, labels_of, write_pair


def write_mnist(project: Path) -> None:
    for split, samples in (("train", 40), ("t10k", 20)):
        folder = project / "data" / "mnist"
        write_pair(folder, images_of(samples), labels_of(samples), split, gz=True)


def test_the_readmes_short_run_writes_what_the_page_says(tmp_path: Path) -> None:
    project = copied("mnist", tmp_path)
    write_mnist(project)
    command, short = commands(project)
    assert command == ["mnist_app.py"]
    completed(project, *short[:-1], short[-1].replace("6000", "80").replace("1000", "20"))
    assert len(pd.read_csv(project / "learn" / "predicts.csv")) == 20
    assert "classifier.4.weight" in torch.load(project / "learn" / "weights")
