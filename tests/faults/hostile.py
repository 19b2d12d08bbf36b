"""Inputs that mean harm: configurations, checkpoints and weights, names of folders."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from legoloop.state.checkpoints import CHECKPOINT_STATE, checkpoints_in
from legoloop.state.manifest import CHECKPOINT_MANIFEST, FileDigest, Manifest
from tests.faults.interruptions import before_a_call
from tests.faults.kills import kill_itself
from tests.faults.tally import Tally
from tests.faults.trials import Trial, resumed_as_if_nothing_had_happened, trial

TARGETS = (
    "os.system",
    "os.popen",
    "os.execv",
    "os.remove",
    "os.rename",
    "os.mkdir",
    "posix.system",
    "subprocess.Popen",
    "subprocess.run",
    "subprocess.check_output",
    "builtins.eval",
    "builtins.exec",
    "builtins.compile",
    "builtins.open",
    "builtins.__import__",
    "eval",
    "exec",
    "io.open",
    "pickle.loads",
    "pickle.load",
    "marshal.loads",
    "shutil.rmtree",
    "runpy.run_path",
    "importlib.import_module",
    "ctypes.CDLL",
    "pty.spawn",
    "socket.socket",
    "sys.exit",
    "torch.load",
    "torch.hub.load",
)
"""A sample of what a configuration has no honest use for."""

YAML = (
    "!!python/object/apply:os.mkdir [{canary}]",
    "!!python/object/new:os.mkdir [{canary}]",
    "!!python/name:os.mkdir",
    "!!python/module:os",
)


INTO = "hydra.run.dir=runs/${{model._target_}}"
SWEEP = ("hydra.mode=MULTIRUN", "seed=1,2", "hydra.sweep.dir=sweep")
FOLDERS = {
    "a value with ..": (INTO, "model._target_=../out"),
    "a value with more": (INTO, "model._target_=a/../../out"),
    "a value with .. in its middle": (INTO, "model._target_=a/b/../../../out/c"),
    "a job beside the sweep": (*SWEEP, "hydra.sweep.subdir=../out${{hydra.job.num}}"),
    "an absolute folder for a job": (*SWEEP, "hydra.sweep.subdir={here}/out${{hydra.job.num}}"),
    "one folder for all jobs": (*SWEEP, "hydra.sweep.subdir=out"),
}
"""What leads out of a folder, by what it is."""


class MakesCanary:
    """A pickle that makes a folder when it is read."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.canary),)


def hostile_targets(long: bool) -> Tally:
    """Functions that do harm, as the target of a plugin; all of them also in test_hostile.py."""
    tally = Tally()
    for target in TARGETS if long else TARGETS[::6]:
        with trial() as harmed:
            canary = harmed.here / "canary"
            node = f"{{_target_: {target}, _args_: ['{canary}']}}"
            ended = harmed.run(f"+plugins.harm={node}")
            tally.count(target, _made(harmed, canary) or _not_refused(ended.status, ended.err))
    return tally


def hostile_folders(long: bool) -> Tally:
    """Values that would lead runs and sweeps out of the folders that they are made for."""
    tally = Tally()
    for told, overrides in FOLDERS.items():
        with trial() as harmed:
            ended = harmed.run(*(text.format(here=harmed.here) for text in overrides))
            left = [path.name for path in harmed.here.iterdir() if path.name.startswith("out")]
            problem = f"it left {', '.join(left)}" if left else None
            tally.count(told, problem or _not_refused(ended.status, ended.err))
    return tally


def hostile_files(long: bool) -> Tally:
    """YAML that makes objects; pickles and links in the place of checkpoints and weights."""
    tally = Tally()
    for tag in YAML if long else YAML[:1]:
        with trial() as harmed:
            canary = harmed.here / "canary"
            conf = harmed.here / "conf" / "model"
            conf.mkdir(parents=True)
            (conf / "harm.yaml").write_text("_target_: " + tag.format(canary=canary) + "\n")
            search = f"hydra.searchpath=[file://{conf.parent}]"
            ended = harmed.run(search, "model=harm")
            tally.count(tag, _made(harmed, canary) or _not_refused(ended.status, ended.err))
    for told, (put, falls_back) in _IN_PLACE_OF_A_CHECKPOINT.items():
        with trial() as harmed:
            canary = harmed.here / "canary"
            harmed.run(fault=before_a_call("faulted:Net.forward", 50, kill_itself))
            put(checkpoints_in(harmed.directory / "checkpoints")[0], canary)
            if falls_back:
                wrong = resumed_as_if_nothing_had_happened(harmed)
            else:
                ended = harmed.run()
                is_told = ended.status == 1 and "state.pt is refused: " in ended.err
                wrong = None if is_told else f"ended with {ended.status}: {ended.err}"
            tally.count(told, "the canary was made" if canary.exists() else wrong)
    return tally


def _pickled(checkpoint: Path, canary: Path) -> None:
    (checkpoint / CHECKPOINT_STATE).write_bytes(pickle.dumps(MakesCanary(canary)))
    _sealed(checkpoint)


def _saved_by_torch(checkpoint: Path, canary: Path) -> None:
    torch.save({"plugins": MakesCanary(canary)}, checkpoint / CHECKPOINT_STATE)
    _sealed(checkpoint)


def _linked(checkpoint: Path, canary: Path) -> None:
    elsewhere = checkpoint.parents[2] / "elsewhere"
    elsewhere.mkdir()
    (checkpoint / CHECKPOINT_STATE).rename(elsewhere / CHECKPOINT_STATE)
    torch.save({"plugins": MakesCanary(canary)}, elsewhere / CHECKPOINT_STATE)
    (checkpoint / CHECKPOINT_STATE).symlink_to(elsewhere / CHECKPOINT_STATE)


def _sealed(checkpoint: Path) -> None:
    """A manifest that fits what is there."""
    with (checkpoint / CHECKPOINT_STATE).open("rb") as content:
        facts = FileDigest.of(content)
    (checkpoint / CHECKPOINT_MANIFEST).write_text(Manifest(99, {CHECKPOINT_STATE: facts}).text())


_IN_PLACE_OF_A_CHECKPOINT: dict[str, tuple[Callable[[Path, Path], None], bool]] = {
    "a pickle for a checkpoint": (_pickled, False),
    "a pickle saved by torch": (_saved_by_torch, False),
    "a link to elsewhere": (_linked, True),
}
"""How it is put there; whether that looks like damage, so that the one before is used."""


def _not_refused(status: int, err: str) -> str | None:
    if status == 2 and err.startswith("error: ") and len(err.splitlines()) <= 3:
        return None
    return f"not refused, ended with {status}: {err[-200:]}"


def _made(harmed: Trial, canary: Path) -> str | None:
    made = {path.name for path in harmed.here.iterdir()} - {"conf"}
    beside = sorted(name for name in made if not name.startswith("said"))
    if canary.exists():
        return "the canary was made"
    return f"it left {', '.join(beside)}" if beside else None
