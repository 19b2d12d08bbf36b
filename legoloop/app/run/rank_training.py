"""Training as one of several ranks."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from legoloop.app.config.blueprint import Blueprint
from legoloop.app.run.final_scalars import final_scalars
from legoloop.app.run.resume import load_checkpoint_into
from legoloop.app.run.signals import interruptions
from legoloop.app.wiring.make_app import validated_app
from legoloop.core.rank_group import RankGroup
from legoloop.core.ranks import train_with
from legoloop.loop.host import TrainingHost


def train_as_rank(
    blueprint: Blueprint,
    rank: int,
    size: int,
    local_rank: int,
    scratch: Path | None,
    checkpoint: Path | None,
    strict: bool,
) -> tuple[TrainingHost, Mapping[str, Any]]:
    """Join the other ranks, build the app, and train.

    Args:
        blueprint: of the run.
        rank: the number of this rank.
        size: how many there are.
        local_rank: its number on this machine, and of its GPU, if there are any.
        scratch: the directory that its plugins write to instead of the run directory, since only
            rank 0 writes what the run leaves; None: the run directory.
        checkpoint: the one to go on from; None: from the beginning.
        strict: whether the checkpoint must be of a run like this one.

    Returns the host that has run, and the scalars for the record.
    """
    group = RankGroup(rank, size, local_rank)
    with train_with(group):
        app, _ = validated_app(blueprint)
        for key, value in rank_values(blueprint, local_rank, scratch).items():
            _provider(app.config, key).from_value(value)
        host: TrainingHost = app.host()
        if checkpoint is not None:
            load_checkpoint_into(host, checkpoint, strict)
        with interruptions(host.interrupt):
            host.run()
        group.exchange("end")
    group.close()
    return host, final_scalars(host)


def rank_values(blueprint: Blueprint, local_rank: int, scratch: Path | None) -> dict[str, Any]:
    """The values of the configuration that a rank has of its own.

    >>> tree = {"device": "cpu", "app": "mine.App"}
    >>> rank_values(Blueprint.of(tree), local_rank=1, scratch=Path("/tmp/rank1"))
    {'run_dir': '/tmp/rank1'}
    """
    import torch

    values: dict[str, Any] = {}
    if scratch is not None:
        scratch.mkdir(parents=True, exist_ok=True)
        values["run_dir"] = str(scratch)
    if blueprint.settings.device in ("auto", "cuda") and torch.cuda.is_available():
        values["device"] = f"cuda:{local_rank}"
    return values


def _provider(config: Any, key: str) -> Any:
    for name in key.split("."):
        config = getattr(config, name)
    return config
