"""The jobs of a sweep as values: composed, checked, and what they have in common done once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.types import RunMode

from legoloop.app.config import binding
from legoloop.app.config.blueprint import Blueprint
from legoloop.app.hydra_bridge.caching_loader import CachingConfigLoader
from legoloop.app.hydra_bridge.shipped_config import CONFIG_NAME
from legoloop.app.sweep.compose_jobs import compose_jobs
from legoloop.app.sweep.job import Job
from legoloop.core.errors import ConfigError
from legoloop.zoo import toy_data
from tests.app.composed import XOR, hydra_at_work

SMALL = (*XOR, "num_epochs=1", "epoch_size=64", "eval_samples=64")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def loader() -> Iterator[CachingConfigLoader]:
    with hydra_at_work() as loader:
        yield CachingConfigLoader(loader)


def jobs_of(loader: CachingConfigLoader, *combinations: tuple[str, ...]) -> list[Job]:
    config = loader.load_configuration(
        CONFIG_NAME, ["hydra.sweep.dir=sweep", *SMALL], RunMode.MULTIRUN
    )
    return compose_jobs(config, [[*SMALL, *each] for each in combinations], loader)


def counted(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str) -> list[Any]:
    """The first argument of each call from now on."""
    calls: list[Any] = []
    function = getattr(owner, name)

    def call(*args: Any, **kwargs: Any) -> Any:
        calls.append(args[0] if args else kwargs)
        return function(*args, **kwargs)

    monkeypatch.setattr(owner, name, call)
    return calls


def test_jobs_that_differ_in_values_are_composed_by_hydra_once(
    loader: CachingConfigLoader, monkeypatch: pytest.MonkeyPatch
) -> None:
    composed = counted(monkeypatch, ConfigLoaderImpl, "_load_configuration_impl")
    jobs = jobs_of(loader, *((f"seed={n}", f"optimizer.lr=0.{n + 1}") for n in range(6)))
    assert len(composed) == 1 + 1, "the sweep, and its jobs"
    assert [job.blueprint.settings.seed for job in jobs] == [*range(6)]
    assert [job.blueprint.tree["optimizer"]["lr"] for job in jobs] == [
        *(0.1, 0.2, 0.3, 0.4, 0.5, 0.6),
    ]


def test_each_choice_of_options_is_composed_once(
    loader: CachingConfigLoader, monkeypatch: pytest.MonkeyPatch
) -> None:
    composed = counted(monkeypatch, ConfigLoaderImpl, "_load_configuration_impl")
    jobs = jobs_of(
        loader,
        *((f"model={model}", f"seed={n}") for n in range(3) for model in ("logistic", "mlp")),
    )
    assert len(composed) == 1 + 2
    assert [job.blueprint.tree["model"]["_target_"].rpartition(".")[2] for job in jobs] == (
        ["Logistic", "MLP"] * 3
    )


def test_what_jobs_have_in_common_is_bound_once(
    loader: CachingConfigLoader, monkeypatch: pytest.MonkeyPatch
) -> None:
    bound = counted(monkeypatch, binding, "bind")
    jobs = jobs_of(loader, *((f"optimizer.lr=0.{n + 1}",) for n in range(6)))
    assert bound.count("optimizer") == 6
    again = {path for path in bound if bound.count(path) > 1 and path != "optimizer"}
    assert all(_writes(jobs[0].blueprint, path) for path in again), again
    assert {"model", "data.datasets.train", "plugins.loops_acc"} <= {*bound} - again
    assert len({id(job.blueprint.components["model"]) for job in jobs}) == 1


def _writes(blueprint: Blueprint, path: str) -> bool:
    """Whether a plugin writes to the directory of its run, which each job has of its own."""
    name = path.removeprefix("plugins.").partition(".")[0]
    return blueprint.settings.run_dir in str(blueprint.components[name].values)


def test_data_sets_of_equal_nodes_are_read_once(
    loader: CachingConfigLoader, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = counted(monkeypatch, toy_data, "xor")
    jobs_of(loader, *((f"seed={n}",) for n in range(4)))
    assert len(read) == 2


def test_each_job_has_its_number_directory_and_overrides(
    loader: CachingConfigLoader, here: Path
) -> None:
    jobs = jobs_of(loader, ("seed=3", "resume=must"), ("seed=4", "resume=must"))
    assert [job.number for job in jobs] == [0, 1]
    assert [job.directory for job in jobs] == [here / "sweep" / "0", here / "sweep" / "1"]
    assert [job.blueprint.settings.run_dir for job in jobs] == [str(job.directory) for job in jobs]
    assert jobs[0].overrides == [*SMALL, "seed=3"], "a job of a sweep that is there may be new"
    assert jobs[1].blueprint.overrides == (*SMALL, "seed=4")
    assert [*here.iterdir()] == []


def test_a_job_is_what_a_run_with_its_overrides_is(loader: CachingConfigLoader) -> None:
    (alone,) = jobs_of(loader, ("seed=1", "model=mlp", "hydra.sweep.subdir=1"))
    _, second = jobs_of(loader, ("seed=0", "model=mlp"), ("seed=1", "model=mlp"))
    assert replace(second.blueprint, varied=()) == alone.blueprint
    assert second.blueprint.digest == alone.blueprint.digest


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("seed=-1", "seed (command line): is -1; give a whole number from 0 to 4294967295"),
        ("optimizer.lr=-1", "optimizer (command line): torch.optim.SGD refuses it: Invalid "),
        ("model=mpl", "model=mpl: there is no such option; did you mean mlp?"),
        ("nope=1", "nope (command line): there is no such key or group; "),
        ("optimizer.lr=${nope}", "optimizer.lr (command line): Interpolation key 'nope' not found"),
        ("resume=nowhere", "resume (command line): is 'nowhere'; give auto, never, must, "),
    ],
)
def test_the_first_wrong_job_is_named(
    loader: CachingConfigLoader, wrong: str, message: str, here: Path
) -> None:
    with pytest.raises(ConfigError) as refused:
        jobs_of(loader, ("optimizer=sgd", "seed=1"), ("optimizer=sgd", wrong), ("seed=-7",))
    overrides = " ".join([*SMALL, "optimizer=sgd", wrong])
    assert str(refused.value).startswith(f"job 1 ({overrides}): {message}")
    assert [*here.iterdir()] == []


def test_what_is_wrong_with_the_data_is_left_for_the_job(loader: CachingConfigLoader) -> None:
    node = "+data.datasets.more={_target_: numpy.load, file: nowhere}"
    (job,) = jobs_of(loader, (node,))
    assert "more" in job.blueprint.datasets


def test_each_job_knows_its_sweep_and_what_varied(loader: CachingConfigLoader, here: Path) -> None:
    jobs = jobs_of(loader, ("seed=1", "optimizer.lr=0.1"), ("seed=1", "optimizer.lr=0.2"))
    assert [job.blueprint.variation.values for job in jobs] == [
        *({"optimizer.lr": 0.1}, {"optimizer.lr": 0.2}),
    ]
    assert {job.blueprint.variation.sweep for job in jobs} == {here / "sweep"}


def test_in_a_sweep_of_one_job_nothing_varied(loader: CachingConfigLoader) -> None:
    (job,) = jobs_of(loader, ("seed=1",))
    assert job.blueprint.variation.label == ""
