"""Runs of several ranks: forks of a process that has imported all, and has no threads.

A fork of the process that runs the tests would wait for locks that its other threads held.
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
import socket
import traceback
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import cloudpickle
import torch

from legoloop.app.run.rank_training import train_as_rank
from legoloop.app.run.resume import load_checkpoint_into
from legoloop.app.wiring.make_app import validated_app
from legoloop.core.rank_group import RankGroup
from legoloop.core.ranks import train_with
from tests.app.composed import blueprint_of

# What every rank would import for itself, after it was forked.
IMPORTED = (
    *("polars", "sklearn.datasets", "torch._dynamo", "torch.distributed.fsdp"),
    *("torch.distributed.tensor", "torch.nn.parallel", "legoloop.run"),
    *("legoloop.app.run.rank_training", "legoloop.zoo.models", "legoloop.zoo.toy_data"),
)
PATIENCE = 180.0
"""Seconds after which ranks that do not answer are killed."""

_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload([*IMPORTED])


class RankError(Exception):
    """What a rank raised."""


def on_ranks(size: int, function: Callable[[int], Any]) -> list[Any]:
    """What a function returns on each of so many ranks, which have yet to make a group.

    Raises RankError for the first of them that failed.
    """
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    packed = cloudpickle.dumps(function)
    pipes = [_FORKS.Pipe(duplex=False) for _ in range(size)]
    processes = [
        _FORKS.Process(target=_rank, args=(rank, size, port, packed, sending))
        for rank, (_, sending) in enumerate(pipes)
    ]
    for process, (_, sending) in zip(processes, pipes, strict=True):
        process.start()
        sending.close()
    answers = [_received(receiving) for receiving, _ in pipes]
    for process in processes:
        process.join(1)
        process.kill()
        process.join()
    failed = [answer for answer in answers if isinstance(answer, RankError)]
    if failed:
        raise next((e for e in failed if "RankLost" not in str(e)), failed[0])
    return answers


def in_group(size: int, function: Callable[[RankGroup], Any]) -> list[Any]:
    """What a function returns on each rank of a group."""

    def call(rank: int) -> Any:
        group = RankGroup(rank, size, timeout=30)
        with train_with(group):
            result = function(group)
            group.exchange("end")
        group.close()
        return result

    return on_ranks(size, call)


def train(
    directory: Path,
    overrides: Sequence[str],
    ranks: int,
    checkpoint: Path | None = None,
    strict: bool = True,
) -> list[Any]:
    """Train on so many ranks, in a directory; the number of steps that each counted."""
    blueprint = blueprint_of(*overrides)

    def call(rank: int) -> Any:
        place = directory.with_name(f"{directory.name}.rank{rank}") if rank else directory
        group = RankGroup(rank, ranks, timeout=30)
        host, _ = train_as_rank(blueprint, group, place, checkpoint, strict)
        return host.plan.plugins["counter"].steps

    return on_ranks(ranks, call)


def train_alone(
    directory: Path, overrides: Sequence[str], checkpoint: Path | None = None
) -> list[Any]:
    """The same in one process, which knows nothing of ranks."""
    blueprint = blueprint_of(*overrides)

    def call(rank: int) -> Any:
        app, _ = validated_app(blueprint)
        directory.mkdir(parents=True)
        app.config.run_dir.from_value(str(directory))
        host = app.host()
        if checkpoint is not None:
            load_checkpoint_into(host, checkpoint)
        host.run()
        return host.plan.plugins["counter"].steps

    return on_ranks(1, call)


def _rank(rank: int, size: int, port: int, function: bytes, sending: Connection) -> None:
    os.environ.update(MASTER_ADDR="localhost", MASTER_PORT=str(port))
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    torch.set_num_threads(1)
    try:
        answer = cloudpickle.loads(function)(rank)
    except BaseException as error:
        about = f"rank {rank}: {type(error).__name__}: {error}\n{traceback.format_exc()}"
        answer = RankError(about)
    finally:
        sending.send_bytes(pickle.dumps(answer))  # not by shared memory, which ends with this one
        sending.close()
        os._exit(0)


def _received(receiving: Connection) -> Any:
    try:
        if not receiving.poll(PATIENCE):
            return RankError(f"a rank did not answer within {PATIENCE:.0f} s")
        return pickle.loads(receiving.recv_bytes())
    except EOFError:
        return RankError("a rank ended without a word")
