"""Configurations as values: composed as for a run or a job, without the command."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import hydra
import pytest
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from legoloop.app.config.blueprint import Blueprint
from legoloop.app.config.paths import Tree
from legoloop.app.hydra_bridge.caching_loader import CachingConfigLoader
from legoloop.app.hydra_bridge.job_config import blueprint_of_job, run_directory
from legoloop.app.hydra_bridge.messages import format_error
from legoloop.app.hydra_bridge.shipped_config import (
    CONFIG_NAME,
    register_settings,
    shipped_config_dir,
)
from legoloop.app.run.lifecycle import lock_directory, prepare
from legoloop.core.errors import ConfigError

ASKED_FOR = {
    "adapted": ["model.module={_target_:torch.nn.Flatten}", "model.inputs=[image]"],
    "freeze": ["plugins.freeze.patterns=[head.*]"],
    "last_sample": ["plugins.last_sample.num_samples=64"],
    "last_step": ["plugins.last_step.num_steps=9"],
    "own_stream": [
        *("model=adapted", "model.module={_target_:torch.nn.Flatten}", "model.inputs=[x]"),
        "+plugins.epoch.train_iterator={_target_:tests.streams_of_others.endless}",
    ],
    "phases": ["plugins.phases.phases={all:{from_epoch:0}}"],
    "pruning": ["plugins.pruning.storage=study.journal", "plugins.pruning.study=mine"],
    "time_limit": ["plugins.time_limit.seconds=99"],
}
"""What an option that ships leaves to the user to say."""

XOR = ("data=xor", "model=logistic", "loggers=[]")


@cache
def the_hydra() -> Any:
    """A Hydra that finds what ships, kept for all tests."""
    register_settings()
    with hydra.initialize_config_dir(str(shipped_config_dir()), version_base="1.3"):
        return GlobalHydra.instance().hydra


@cache
def _loader_and_master() -> tuple[CachingConfigLoader, DictConfig]:
    loader = CachingConfigLoader(the_hydra().config_loader)
    return loader, loader.load_configuration(CONFIG_NAME, [], RunMode.MULTIRUN)


@contextmanager
def hydra_at_work() -> Iterator[Any]:
    """Inside, Hydra is initialized, as while the command composes; its loader."""
    there = the_hydra()
    register_settings()
    before, GlobalHydra.instance().hydra = GlobalHydra.instance().hydra, there
    try:
        yield there.config_loader
    finally:
        GlobalHydra.instance().hydra = before
        HydraConfig.instance().cfg = None


def config_of(*overrides: str) -> DictConfig:
    """What Hydra composes for a job, its own part included; for a Hydra that is at work."""
    loader, master = _loader_and_master()
    return loader.load_sweep_config(master, list(overrides))


def blueprint_of(*overrides: str) -> Blueprint:
    """The blueprint of a run with these overrides, in the directory ``run``."""
    with hydra_at_work():
        return blueprint_of_job(config_of(*overrides), "run")


def refusal(*overrides: str) -> str:
    """The message with which a run with these overrides is refused, without the command."""
    config = None
    with hydra_at_work():
        try:
            config = config_of(*overrides)
            prepared = prepare(blueprint_of_job(config, run_directory(config)))
            lock_directory(prepared).release()
        except (ConfigError, HydraException, OmegaConfBaseException) as error:
            return format_error(error, config, overrides)
        except Exception as error:
            if config is not None:
                raise
            return format_error(error, overrides=overrides)
    raise AssertionError("nothing was refused")


def tree_of(**changes: Any) -> Tree:
    """A tree written by hand: the least that a run needs, with other values at the top."""
    xor = {"_target_": "legoloop.zoo.toy_data.xor"}
    return {
        "seed": 0,
        "num_epochs": 2,
        "run_dir": "run",
        "data": {
            "model_kwargs": ["task", "num_outputs", "num_features", "input_key"],
            "loaders": {"default": {"batch_size": 32, "num_workers": 0}},
            "datasets": {"train": {**xor, "train": True}, "val": {**xor, "train": False}},
        },
        "model": {"_target_": "legoloop.zoo.models.Logistic"},
        "loss": {"_target_": "legoloop.zoo.losses.BinaryCrossEntropy"},
        "optimizer": {"_target_": "torch.optim.SGD", "lr": 0.1},
        "feed": {"_target_": "legoloop.Feed"},
        "plugins": {
            "counter": {"_target_": "legoloop.Counter"},
            "epoch": {"_target_": "legoloop.SimpleEpoch"},
            "descent": {"_target_": "legoloop.GradientDescent", "_inject_": {"opt": "optimizer"}},
            "last": {"_target_": "legoloop.LastEpoch", "num_epochs": 2},
        },
        **changes,
    }


def with_value(tree: Tree, path: str, value: Any) -> Tree:
    """A tree that has another value at a dotted path; what lies beside the path is shared.

    >>> before = {"a": {"b": 1}, "c": {}}
    >>> after = with_value(before, "a.b", 2)
    >>> before, after, after["c"] is before["c"]
    ({'a': {'b': 1}, 'c': {}}, {'a': {'b': 2}, 'c': {}}, True)
    """
    key, _, rest = path.partition(".")
    inner = tree.get(key)
    below = inner if isinstance(inner, dict) else {}
    return {**tree, key: with_value(below, rest, value) if rest else value}


FAST = (
    *("seed=0", "data=xor", "debug=overfit", "experiment=mnist", "loggers=[csv]"),
    *("plugins=[default,checkpoints,ema]", "scheduler=warmup_cosine"),
)
"""The choices that are tried in the fast suite too."""


def choices() -> list[Any]:
    """For each option of a group that ships the overrides that choose it, and what it asks for.

    As parameters of a test; but for a few, it is slow with them.
    """
    found = ["seed=0"]
    for file in sorted(shipped_config_dir().glob("*/*.yaml")):
        group, option = file.parent.name, file.stem
        if group == "plugins":
            choice = f"plugins=[{','.join(dict.fromkeys(('default', 'checkpoints', option)))}]"
        else:
            choice = f"{group}=[{option}]" if group == "loggers" else f"{group}={option}"
        found.append(" ".join([choice, *ASKED_FOR.get(option, [])]))
    return [
        pytest.param(choice, marks=() if choice in FAST else pytest.mark.slow, id=choice)
        for choice in dict.fromkeys(found)
    ]
