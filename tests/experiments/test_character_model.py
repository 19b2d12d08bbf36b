from __future__ import annotations

import random
from pathlib import Path

import pandas as pd
import pytest

from tests.experiments.projects import (
    RUN,
    complete_the_readmes_commands,
    completed,
    copied,
    final,
    run_directories,
)

CONF = ("--config-dir", "conf", "loggers=[csv]")


def write_text(project: Path, lines: int = 300) -> None:
    """Sentences of different lengths, the same whenever they are asked for."""
    rng = random.Random(0)
    words = ["the", "cat", "sees", "a", "red", "boat", "and", "nobody", "follows", "it"]
    text = "\n".join(" ".join(rng.choices(words, k=rng.randint(1, 9))) for _ in range(lines))
    (project / "data").mkdir()
    (project / "data" / "text.txt").write_text(text)


@pytest.mark.slow
def test_it_gets_better(tmp_path: Path) -> None:
    project = copied("character_model", tmp_path)
    write_text(project, lines=60)
    short = ("experiment=characters", "num_epochs=2", "epoch_size=2000", "hydra.run.dir=run")
    completed(project, *RUN, *CONF, *short)
    perplexity = pd.read_csv(project / "run" / "metrics.csv")["val/perplexity"]
    assert perplexity.iloc[-1] < perplexity.iloc[0] < 96


@pytest.mark.long
def test_the_readmes_commands_run_and_the_first_learns(tmp_path: Path) -> None:
    project = copied("character_model", tmp_path)
    write_text(project)
    complete_the_readmes_commands(project)
    assert final(run_directories(project)[0])["final/val/perplexity"] < 3
