from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import InterpolationKeyError, MissingMandatoryValue

from legoloop.app.config.blueprint import Blueprint
from legoloop.app.hydra_bridge.job_config import (
    bind_run_directory,
    blueprint_of_job,
    blueprint_of_tree,
    run_directory,
    sweep_directory,
    to_plain,
)
from legoloop.core.errors import ConfigError
from tests.app.composed import XOR, config_of, hydra_at_work, refusal


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_plain_resolves_every_reference() -> None:
    config = OmegaConf.create({"a": 1, "b": ["${a}", {"c": "x${a}"}], "d": "${b}"})
    resolved = {"a": 1, "b": [1, {"c": "x1"}], "d": [1, {"c": "x1"}]}
    assert to_plain(config) == resolved
    assert to_plain(config, resolve=False) == {
        **{"a": 1, "b": ["${a}", {"c": "x${a}"}], "d": "${b}"},
    }


def test_plain_leaves_out_what_is_hydras() -> None:
    config = OmegaConf.create({"a": 1, "hydra": {"b": "${nope}"}})
    assert to_plain(config) == to_plain(config, resolve=False) == {"a": 1}


def test_plain_refuses_what_is_missing_or_leads_nowhere() -> None:
    for tree, error in (
        ({"a": "???"}, MissingMandatoryValue),
        ({"a": {"b": "???"}}, MissingMandatoryValue),
        ({"a": "${b}"}, InterpolationKeyError),
        ({"a": ["${b}"]}, InterpolationKeyError),
    ):
        with pytest.raises(error):
            to_plain(OmegaConf.create(tree))
    assert to_plain(OmegaConf.create({"a": {"b": "???", "c": "${d}"}}), resolve=False) == {
        "a": {"b": "???", "c": "${d}"}
    }


def test_the_blueprint_of_a_job(here: Path) -> None:
    with hydra_at_work():
        blueprint = blueprint_of_job(config_of(*XOR, "seed=3", "hydra.job.name=mine"), "there")
    assert blueprint.settings.run_dir == blueprint.unresolved["run_dir"] == str(here / "there")
    assert blueprint.overrides == (*XOR, "seed=3")
    assert (blueprint.data.seed, blueprint.unresolved["data"]["seed"]) == (3, "${seed}")
    assert blueprint.tree["plugins"]["predicts"]["path"] == f"{here}/there/predicts.csv"
    assert "hydra" not in blueprint.tree
    assert blueprint.origins == {
        **{"data": "command line", "model": "command line", "loggers": "command line"},
        "seed": "command line",
    }


def test_a_blueprint_is_that_of_the_tree_that_omegaconf_resolves() -> None:
    with hydra_at_work():
        config = config_of(*XOR, "data.output_key=${oc.env:HOME,x}")
        blueprint = blueprint_of_job(config, "there")
        known = {"origins": blueprint.origins, "overrides": blueprint.overrides}
        again = blueprint_of_tree(config, **known)
    assert again.tree == blueprint.tree
    assert again.components == blueprint.components


def test_references_to_hydra_are_bound_to_this_job() -> None:
    with hydra_at_work():
        one = config_of(*XOR, "data.output_key=${hydra:job.name}/${run_dir}", "hydra.job.name=one")
        first = blueprint_of_job(one, "a")
        other = config_of(
            *XOR, "data.output_key=${hydra:job.name}/${run_dir}", "hydra.job.name=other"
        )
        second = blueprint_of_job(other, "b")
    assert str(first.data.output_key).startswith("one/")
    assert str(second.data.output_key).startswith("other/")
    assert (str(first.data.output_key)[-2:], str(second.data.output_key)[-2:]) == ("/a", "/b")


def test_the_run_directory_is_bound_without_a_copy(here: Path) -> None:
    with hydra_at_work():
        config = config_of(*XOR)
        OmegaConf.set_readonly(config.hydra.runtime, True)
        bind_run_directory(config, "there")
        assert HydraConfig.get() is config.hydra
        assert config.run_dir == config.hydra.runtime.output_dir == str(here / "there")
        assert OmegaConf.is_readonly(config.hydra.runtime)


def directory_of(**hydra: Any) -> Path:
    name = hydra.pop("name", "x")
    hydra_part = {"run": hydra, "overrides": {"hydra": [], "task": []}}
    config: DictConfig = OmegaConf.create({"name": name, "hydra": hydra_part})
    return run_directory(config)


def test_the_run_directory_is_what_hydra_says(here: Path) -> None:
    assert directory_of(dir="runs/one") == here / "runs" / "one"
    assert directory_of(dir="runs/../one") == here / "one"
    assert directory_of(dir="/elsewhere/x") == Path("/elsewhere/x")
    assert directory_of(dir="runs/${name}", name="a/b") == here / "runs" / "a" / "b"
    assert directory_of(dir="runs/${name}", name="/x") == here / "runs" / "x"
    assert directory_of(dir="${name}", name="../x") == here.parent / "x"


@pytest.mark.parametrize("name", ["../x", "a/../../x", ""])
def test_a_value_does_not_lead_out_of_the_folder(name: str) -> None:
    with pytest.raises(ConfigError, match=r"^hydra\.run\.dir: .* which is not in runs; a value"):
        directory_of(dir="runs/${name}", name=name)


def test_like_another_job_it_is_the_same_blueprint() -> None:
    with hydra_at_work():
        like = blueprint_of_job(config_of(*XOR), "one")
        made = [
            blueprint_of_job(config_of(*XOR, "optimizer.lr=0.5"), "two", given)
            for given in (None, like)
        ]
    assert made[0] == made[1]
    assert isinstance(made[0], Blueprint)
    assert made[1].components["model"] is like.components["model"]


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (
            "hydra.sweep.dir=there",
            "hydra.sweep.dir (command line): has an effect in a sweep alone; to sweep, add -m",
        ),
        (  # hydra#2999, hydra#851: without -m the launcher was passed over
            "hydra/launcher=processes",
            "hydra/launcher (command line): has an effect in a sweep alone; to sweep, add -m",
        ),
        (
            "hydra.sweeper.max_batch_size=3",
            "hydra.sweeper.max_batch_size (command line): has an effect in a sweep alone; to "
            "sweep, add -m",
        ),
        (
            "sweep.on_failure=stop",
            "sweep.on_failure (command line): has an effect in a sweep alone; to sweep, add -m",
        ),
        (
            "hydra.runtime.output_dir=there",
            "hydra.runtime.output_dir (command line): is set when a run begins; leave it out",
        ),
        ("hydra.run.dir=''", "hydra.run.dir (command line): is empty; write . for the current "),
        ("run_dir=there", "run_dir (command line): is 'there'; where a run writes is said with "),
        (f"hydra.run.dir={'a' * 256}", "hydra.run.dir (command line): gives "),
        (f"hydra.run.dir={'a/' * 2000}", "hydra.run.dir (command line): gives "),
    ],
)
def test_a_directory_is_taken_or_refused(override: str, message: str) -> None:
    assert refusal(*XOR, override).startswith(message)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("hydra.run.dir=there", "hydra.run.dir: has no effect in a sweep; write hydra.sweep.dir=…"),
        ("hydra.sweep.dir=a/${hydra.job.id}", "hydra.sweep.dir: is not known before the jobs are "),
        ("hydra.sweep.dir=a/${hydra:job.num}", "hydra.sweep.dir: is not known before the jobs "),
        ("hydra.sweep.dir=a/${nope}", "hydra.sweep.dir: is not known before the jobs are "),
        ("hydra.runtime.cwd=there", "hydra.runtime.cwd: is set when a run begins; leave it out"),
        ("hydra.sweep.dir=''", "hydra.sweep.dir: is empty; write . for the current directory"),
        (f"hydra.sweep.dir={'a' * 256}", "hydra.sweep.dir: gives '"),
    ],
)
def test_the_folder_of_a_sweep_is_taken_or_refused(override: str, message: str) -> None:
    with hydra_at_work(), pytest.raises(ConfigError) as refused:
        sweep_directory(config_of(*XOR, override))
    assert str(refused.value).replace(" (command line)", "").startswith(message)
