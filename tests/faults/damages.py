"""Checkpoints that are not what was written."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import torch

from legoloop.core.errors import DataError
from legoloop.core.run_directory import CHECKPOINT_MANIFEST
from legoloop.state.checkpoints import (
    CHECKPOINT_STATE,
    checkpoints_in,
    read_checkpoint,
    read_newest,
)
from tests.faults.interruptions import before_a_call
from tests.faults.kills import kill_itself
from tests.faults.tally import Tally
from tests.faults.trials import Trial, resumed_as_if_nothing_had_happened, trial

PAGE = 4096
Damage = tuple[str, str, Callable[[bytes], bytes | None]]
"""What it is called, the file, and what becomes of its content; None: it is gone."""


def damaged_checkpoint(long: bool) -> Tally:
    """The newest checkpoint of a killed run, damaged in every way."""
    tally = Tally()
    with trial() as whole:
        whole.run(fault=before_a_call("faulted:Net.forward", 40, kill_itself))
        newest, before = checkpoints_in(whole.directory / "checkpoints")[:2]
        sizes = {
            name: (newest / name).stat().st_size for name in (CHECKPOINT_STATE, CHECKPOINT_MANIFEST)
        }
        damages = list(_damages(sizes))
        resumed = damages[::8] if long else damages[150:151]
        for told, name, change in damages:
            file = newest / name
            kept = file.read_bytes()
            _write(file, change(kept))
            wrong = problem(newest, before)
            if wrong is None and (told, name, change) in resumed:
                wrong = _resumed(whole)
            tally.count(f"{told} of {name}", wrong)
            file.write_bytes(kept)
    return tally


def _damages(sizes: dict[str, int]) -> Iterator[Damage]:
    for name, size in sizes.items():
        for percent in range(100):
            yield f"cut at {percent} %", name, lambda kept, p=percent: kept[: len(kept) * p // 100]
        for block in range(0, size, PAGE):
            yield f"a bit in block {block // PAGE}", name, lambda kept, b=block: flipped(kept, b)
            yield f"page {block // PAGE} zeroed", name, lambda kept, b=block: _zeroed(kept, b)
        yield "absence", name, lambda kept: None


def flipped(kept: bytes, block: int) -> bytes:
    place = min(block + 1234, len(kept) - 1)
    return kept[:place] + bytes([kept[place] ^ 4]) + kept[place + 1 :]


def _zeroed(kept: bytes, block: int) -> bytes:
    return kept[:block] + bytes(len(kept[block : block + PAGE])) + kept[block + PAGE :]


def _write(file: Path, content: bytes | None) -> None:
    if content is None:
        file.unlink()
    else:
        file.write_bytes(content)


def problem(newest: Path, before: Path) -> str | None:
    """Whether it is noticed before anything of it is deserialised, and the one before is used."""
    real = torch.load
    loaded: list[object] = []
    torch.load = lambda content, **given: loaded.append(content)
    try:
        read_checkpoint(newest)
        return "not noticed"
    except DataError:
        if loaded:
            return "it was deserialised"
    finally:
        torch.load = real
    found = read_newest(before.parent)
    return None if found is not None and found[0] == before else f"used: {found and found[0]}"


def _resumed(whole: Trial) -> str | None:
    """The run that goes on from it, in a copy that lies in its place meanwhile."""
    away = whole.here.with_name(f"{whole.here.name}.away")
    whole.here.rename(away)
    try:
        shutil.copytree(away, whole.here)
        return resumed_as_if_nothing_had_happened(whole)
    finally:
        shutil.rmtree(whole.here)
        away.rename(whole.here)
