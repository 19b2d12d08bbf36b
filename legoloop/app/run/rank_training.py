"""Training as one of several ranks."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from legoloop.app.config.blueprint import Blueprint
from legoloop.app.run.final_scalars import final_scalars
from legoloop.app.run.rank_files import Outcome, RankTask
from legoloop.app.run.resume import load_checkpoint_into
from legoloop.app.run.signals import interruptions
from legoloop.app.wiring.make_app import validated_app
from legoloop.core.errors import ConfigError
from legoloop.core.rank_group import RankGroup
from legoloop.core.ranks import train_with
from legoloop.loop.host import TrainingHost


def join(device: str, store: Any = None) -> RankGroup:
    """The group of ranks that the environment tells of, as torchrun sets it.

    Args:
        device: the setting: with ``auto`` and ``cuda``, ranks have a GPU each if there are any.
        store: what the ranks have met in already, if they have.
    """
    rank, size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    local_rank = int(os.environ.get("LOCAL_RANK", rank))
    return RankGroup(rank, size, local_rank, uses_gpus=uses_gpus(device), store=store)


def uses_gpus(device: str) -> bool:
    """Whether each rank has a GPU, by the setting ``device`` and by what is there.

    >>> uses_gpus("cpu")
    False
    """
    import torch

    return device in ("auto", "cuda") and torch.cuda.is_available()


def check_device(device: str, local_ranks: int) -> None:
    """Raises ConfigError for a device that several ranks cannot have.

    Args:
        device: the setting.
        local_ranks: how many ranks this machine will have.

    >>> check_device("cuda:1", local_ranks=2)
    Traceback (most recent call last):
    legoloop.core.errors.ConfigError: device: is 'cuda:1', but each of 2 ranks has a GPU of its \
own; give auto, cuda or cpu
    """
    import torch

    if device not in ("auto", "cpu", "cuda"):
        raise ConfigError(
            f"is '{device}', but each of {local_ranks} ranks has a GPU of its own",
            key="device",
            remedy="give auto, cuda or cpu",
        )
    if uses_gpus(device) and local_ranks > torch.cuda.device_count():
        raise ConfigError(
            f"is {local_ranks}, but this machine has {torch.cuda.device_count()} GPUs",
            key="ranks",
            remedy="give fewer ranks, or device=cpu",
        )


def train_task(task: RankTask, scratch: Path | None, store: Any = None) -> Outcome:
    """Join the other ranks, and train what all of them were sent; how it ended.

    Args:
        task: what they were sent.
        scratch: the run directory of this rank, if it is not the one that writes.
        store: what the ranks have met in already, if they have.
    """
    sys.path[:] = list(dict.fromkeys([*task.import_path, *sys.path]))
    blueprint = Blueprint.from_dict(task.blueprint)
    checkpoint = None if task.checkpoint is None else Path(task.checkpoint)
    group = join(blueprint.settings.device, store)
    host, scalars = train_as_rank(blueprint, group, scratch, checkpoint, task.strict)
    return Outcome(host.stop_reason, host.ends_as, host.failed_lookers, dict(scalars))


def train_as_rank(
    blueprint: Blueprint,
    group: RankGroup,
    scratch: Path | None,
    checkpoint: Path | None,
    strict: bool,
) -> tuple[TrainingHost, Mapping[str, Any]]:
    """Build the app of a blueprint, and train with the other ranks; the group ends with it.

    Args:
        blueprint: of the run.
        group: the ranks.
        scratch: the directory that the plugins of this rank write to instead of the run directory,
            since only rank 0 writes what the run leaves; None: the run directory.
        checkpoint: the one to go on from; None: from the beginning.
        strict: whether the checkpoint must be of a run like this one.

    Returns the host that has run, and the scalars for the record.
    """
    with train_with(group):
        app, _ = validated_app(blueprint)
        if scratch is not None:
            scratch.mkdir(parents=True, exist_ok=True)
            app.config.run_dir.from_value(str(scratch))
        if uses_gpus(blueprint.settings.device):
            app.config.device.from_value(f"cuda:{group.local_rank}")
        if "parallel" in app.providers:
            group.parallel = app.parallel()
        host: TrainingHost = app.host()
        if checkpoint is not None:
            load_checkpoint_into(host, checkpoint, None if strict else blueprint)
        with interruptions(host.interrupt):
            host.run()
        group.exchange("end")
    group.close()
    return host, final_scalars(host)
