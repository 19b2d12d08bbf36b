"""The jobs of a sweep are composed as Hydra composes them, to the byte."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from legoloop.app.hydra_bridge.caching_loader import CachingConfigLoader
from legoloop.app.hydra_bridge.internals import ConfigLoader
from legoloop.app.hydra_bridge.shipped_config import CONFIG_NAME
from tests.app.composed import hydra_at_work

JOBS = [
    [],
    ["seed=1"],
    ["seed=1", "optimizer.lr=0.1", "num_epochs=2"],
    ["num_epochs=2", "seed=1"],
    ["data=xor"],
    ["data=xor", "model=logistic", "seed=1"],
    ["seed=1", "data=xor", "optimizer.lr=1e-2", "model=logistic"],
    ["plugins=[default,ema]", "plugins.ema.decay=0.5"],
    ["loggers=[]"],
    ["+plugins.mine={_target_: mine.Plugin, every: 3}"],
    ["+model.more=1", "++model.more=2", "++model.other=[1,2,{a: b}]"],
    ["~scheduler", "~plugins.history", "~debug"],
    ["~optimizer.betas"],
    ["model.hidden=[8,8]", "optimizer.betas=[0.1,0.2]"],
    ["+optimizer={lr: 0.5}", "model={_target_: mine.Model}"],
    ["data.seed={a: 1}", "seed="],
    ["data.output_key='a, b'", 'data.output_key="c = d"', "+x='it\\'s'", "+y=${seed}"],
    ["data.output_key=null", "compile=true", "epoch_size=1_000", "+z=inf", "+w=''"],
    ["hydra.sweep.subdir=${seed}", "seed=3"],
    ["hydra.job.chdir=true", "seed=3", "hydra/launcher=processes", "hydra.launcher.n_jobs=2"],
    ["+hydra.job.env_set.A=b", "hydra.verbose=true"],
    ["experiment=mnist", "optimizer.lr=3"],
    ["debug=fast"],
    ["scheduler=cosine", "param_groups=no_decay", "precision=amp_bf16"],
    [
        "model=mlp",
        "hydra.job.config.override_dirname.exclude_keys=[seed]",
        "seed=4",
        "num_epochs=1",
    ],
    ["+hydra.callbacks.mine._target_=mine.Callback", "seed=7"],
    ["run_dir=${now:%f}"],
]
FAST = (
    ["data=xor", "model=logistic", "seed=1"],
    ["+model.more=1", "++model.more=2", "++model.other=[1,2,{a: b}]"],
    ["~scheduler", "~plugins.history", "~debug"],
    ["hydra.job.chdir=true", "seed=3", "hydra/launcher=processes", "hydra.launcher.n_jobs=2"],
)
"""Composed in the fast suite too."""
WRONG = [
    ["nope=1"],
    ["model=nothing"],
    ["+seed=1"],
    ["~nope"],
    ["seed=1", "optimizer.lrr=1"],
    ["hydra.nope=1"],
    ["model=null"],
    ["model@here=mlp"],
]


@pytest.fixture(scope="module")
def loaders() -> tuple[CachingConfigLoader, Any, DictConfig]:
    """Ours, which keeps what it merged from test to test, Hydra's, and a sweep to compose from."""
    with hydra_at_work() as loader:
        overrides = ["hydra.mode=MULTIRUN", "hydra.sweep.dir=sweep", "num_epochs=5"]
        master = loader.load_configuration(CONFIG_NAME, overrides, RunMode.MULTIRUN)
        # Fresh ones: another test may have made Hydra import its sources anew.
        ours, by_hydra = (ConfigLoader(loader.config_search_path) for _ in range(2))
        return CachingConfigLoader(ours), by_hydra, master


def composed(loader: Any, master: DictConfig, overrides: list[str]) -> str:
    """The job as text, Hydra's part included; or how it is refused."""
    with hydra_at_work():
        try:
            return OmegaConf.to_yaml(loader.load_sweep_config(master, overrides))
        except (HydraException, OmegaConfBaseException, ValueError) as error:
            return f"{type(error).__name__}: {error} ({type(error.__cause__).__name__})"


@pytest.mark.parametrize(
    "overrides",
    [
        pytest.param(job, marks=() if job in FAST else pytest.mark.slow, id=" ".join(job))
        for job in JOBS
    ],
)
def test_it_is_what_hydra_composes(loaders: Any, overrides: list[str]) -> None:
    ours, by_hydra, master = loaders
    expected = composed(by_hydra, master, overrides)
    assert "hydra:\n" in expected
    assert composed(ours, master, overrides) == expected
    assert composed(ours, master, overrides) == expected, "and a second time"


@pytest.mark.parametrize("overrides", WRONG, ids=" ".join)
def test_what_hydra_refuses_is_refused_in_the_same_words(
    loaders: Any, overrides: list[str]
) -> None:
    ours, by_hydra, master = loaders
    expected = composed(by_hydra, master, overrides)
    assert "hydra:\n" not in expected
    assert composed(ours, master, overrides).partition("\n")[0] == expected.partition("\n")[0]


def test_values_resolve_as_in_the_sweep(loaders: Any) -> None:
    ours, by_hydra, master = loaders
    now = master.hydra.run.dir
    with hydra_at_work():
        for loader in (ours, by_hydra):
            jobs = [loader.load_sweep_config(master, [f"seed={n}"]) for n in range(2)]
            assert jobs[0].hydra.run.dir == jobs[1].hydra.run.dir == now


def test_a_job_is_as_strict_as_with_hydra(loaders: Any) -> None:
    ours, by_hydra, master = loaders
    with hydra_at_work():
        jobs = [loader.load_sweep_config(master, ["seed=1"]) for loader in (ours, by_hydra)]
    for flag in ("struct", "readonly"):
        assert [job._get_flag(flag) for job in jobs] == [jobs[1]._get_flag(flag)] * 2
        assert [job.hydra._get_flag(flag) for job in jobs] == [jobs[1].hydra._get_flag(flag)] * 2


def test_jobs_share_nothing(loaders: Any) -> None:
    ours, _, master = loaders
    with hydra_at_work():
        one, other = (ours.load_sweep_config(master, ["seed=1"]) for _ in range(2))
    one.optimizer.lr = 77
    one.hydra.job.name = "changed"
    assert other.optimizer.lr != 77
    with hydra_at_work():
        again = ours.load_sweep_config(master, ["seed=1"])
    assert (again.optimizer.lr, again.hydra.job.name) == (other.optimizer.lr, other.hydra.job.name)


def test_what_it_keeps_is_not_sent_to_other_processes(loaders: Any) -> None:
    ours, _, master = loaders
    composed(ours, master, ["seed=1"])
    assert ours._merged
    sent = copy.copy(ours)  # copied as it is pickled; the sources may be of a module imported anew
    assert (sent._merged, sent._repository) == ({}, None)
    assert composed(sent, master, ["seed=1"]) == composed(ours, master, ["seed=1"])
