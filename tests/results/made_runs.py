"""Run directories made by hand, as the command leaves them behind."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml


def made_run(
    folder: Path,
    name: str,
    /,
    config: Mapping[str, Any] | None = None,
    final: Mapping[str, float] | None = None,
    best: Mapping[str, float] | None = None,
    status: str = "COMPLETED",
    minute: int = 0,
    metrics: str | None = None,
    predicts: str | None = None,
    **facts: Any,
) -> Path:
    """A run that began at this minute and took 1.5 s, unless it is still running."""
    directory = folder / name
    directory.mkdir(parents=True)
    record = {
        "status": status,
        "started": f"2026-11-22T12:{minute:02}:00.000+00:00",
        "ended": None if status == "RUNNING" else f"2026-11-22T12:{minute:02}:01.500+00:00",
        "overrides": [],
        **facts,
    }
    if final is not None:
        best = {**final, **(best or {})}
        told = {tag: {"value": value, "step": 1} for tag, value in best.items()}
        record |= {"final": dict(final), "best": told}
    (directory / "run.json").write_text(json.dumps(record))
    if config is not None:
        tree = {**config, "run_dir": str(directory), "predicts": f"{directory}/predicts.csv"}
        (directory / "config.yaml").write_text(yaml.safe_dump(tree, sort_keys=False))
    for file, text in (("metrics.csv", metrics), ("predicts.csv", predicts)):
        if text is not None:
            (directory / file).write_text(text)
    return directory


def lr_and_seed(lr: float, seed: int) -> dict[str, Any]:
    """A configuration in which ``data.seed`` refers to ``seed``."""
    return {"seed": seed, "optimizer": {"lr": lr, "betas": [0.9, 0.99]}, "data": {"seed": seed}}


def made_sweep(
    folder: Path, lrs: Sequence[float] = (0.1, 0.01), seeds: Sequence[int] = (0, 1, 2)
) -> Path:
    """A run for each pair; its accuracy is lr + seed / 16, its best one 1/4 more."""
    pairs = [(lr, seed) for lr in lrs for seed in seeds]
    for job, (lr, seed) in enumerate(pairs):
        final = {
            "lr": lr,
            "train/accuracy": 1.0,
            "val/accuracy": lr + seed / 16,
            "val/loss": 1 - lr,
            "final/val/accuracy": lr,
        }
        best = {"val/accuracy": lr + seed / 16 + 0.25}
        overrides = [f"optimizer.lr={lr}", f"seed={seed}"]
        made_run(
            folder,
            str(job),
            lr_and_seed(lr, seed),
            final,
            best,
            minute=job,
            overrides=overrides,
        )
    return folder


def made_record(
    folder: Path,
    jobs: Sequence[Sequence[str]],
    started: str = "2026-11-22T12:00:00.000+00:00",
    **more: object,
) -> Path:
    """The folder of a sweep of these jobs, none of which has begun."""
    folder.mkdir(parents=True, exist_ok=True)
    record = {"started": started, "jobs": jobs, "configurations": [""] * len(jobs), **more}
    (folder / "sweep.json").write_text(json.dumps(record))
    return folder
