"""A sweep made by hand, with curves, predictions, a confusion matrix and worst errors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tests.results.made_runs import made_run

LRS, SEEDS = (0.1, 0.01, 0.001), (0, 1, 2)
EPOCHS = 5


def accuracy(lr: float, seed: int, epoch: int) -> float:
    """Rises with the epochs; the largest rate is the best, and seeds differ by 1/64."""
    return 0.5 + 0.06 * epoch - 0.1 * LRS.index(lr) + seed / 64


def loss(lr: float, seed: int, epoch: int) -> float:
    """Falls over orders of magnitude."""
    return 10.0 ** (1 - epoch) * (1 + seed) * (1 + LRS.index(lr))


def metrics(lr: float, seed: int) -> str:
    """The ``metrics.csv`` of such a run: ten steps an epoch."""
    rows = (
        f"{10 * epoch},{epoch},{accuracy(lr, seed, epoch)!r},{loss(lr, seed, epoch)!r}"
        for epoch in range(1, EPOCHS + 1)
    )
    return "\n".join(["step,epoch,val/accuracy,val/loss", *rows, ""])


def predicts(job: int) -> str:
    """Sample n is predicted as 1 from job n on, as 0 before; sample 9 always is."""
    rows = [f"{n},{1.0 if job < n < 9 else 0.0},0.5" for n in range(10)]
    return "\n".join(["idx,logit0,logit1", *rows, ""])


def config(lr: float, seed: int, **others: Any) -> dict[str, Any]:
    """With what writes the confusion matrix and the worst errors."""
    plugins = {
        "confusion": {"_target_": "legoloop.ConfusionMatrix", "path": "${run_dir}/confusion.csv"},
        "worst": {"_target_": "legoloop.WorstErrors", "path": "${run_dir}/worst_errors.png"},
    }
    return {
        "seed": seed,
        "num_epochs": EPOCHS,
        "optimizer": {"lr": lr, "betas": [0.9, 0.99]},
        "data": {"seed": seed},
        "plugins": plugins,
        **others,
    }


def shown_sweep(folder: Path) -> Path:
    """Nine runs, over rates and seeds; job 8 failed after its metrics were written."""
    for job, (lr, seed) in enumerate((lr, seed) for lr in LRS for seed in SEEDS):
        failed = {"status": "FAILED", "cause": "no more <b>memory</b>"} if job == 8 else {}
        final = {
            "val/accuracy": accuracy(lr, seed, EPOCHS),
            "val/loss": loss(lr, seed, EPOCHS),
        }
        directory = made_run(
            folder,
            str(job),
            config(lr, seed),
            final,
            minute=job,
            metrics=metrics(lr, seed),
            predicts=predicts(job),
            overrides=[f"optimizer.lr={lr}", f"seed={seed}"],
            git={"commit": "a" * 40 if job < 5 else "b" * 40},
            **failed,
        )
        (directory / "confusion.csv").write_text("target,cat,dog\ncat,7,1\ndog,2,9\n")
        (directory / "worst_errors.csv").write_text("idx,target,predicted\n17,0,1\n4,1,0\n")
        picture = np.zeros((86, 144, 3), np.uint8)
        Image.fromarray(picture).save(directory / "worst_errors.png")
    return folder
