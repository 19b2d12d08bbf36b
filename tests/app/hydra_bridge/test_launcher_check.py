from __future__ import annotations

import pytest
from omegaconf import OmegaConf

from legoloop.app.hydra_bridge.launcher_check import check_launcher
from legoloop.core.errors import ConfigError
from tests.app.composed import config_of, hydra_at_work


def checked(**launcher: object) -> None:
    check_launcher(OmegaConf.create({"hydra": {"launcher": launcher}}))


def refused(**launcher: object) -> str:
    with pytest.raises(ConfigError) as error:
        checked(**launcher)
    return str(error.value)


PROCESSES = "hydra_plugins.legoloop.ProcessLauncher"


@pytest.mark.parametrize("option", ["basic", "processes", "vmap"])
def test_what_ships_can_be_had(option: str) -> None:
    with hydra_at_work():
        check_launcher(config_of(f"hydra/launcher={option}"))


def test_a_launcher_that_nobody_has_installed() -> None:
    assert refused(_target_="hydra_plugins.hydra_nothing.Launcher") == (
        "hydra.launcher: hydra_plugins.hydra_nothing.Launcher is no launcher; is its package "
        "installed?"
    )


def test_a_setting_that_it_refuses_is_told_by_its_key() -> None:
    checked(_target_=PROCESSES, n_jobs=2)
    assert refused(_target_=PROCESSES, n_jobs=0) == (
        "hydra.launcher.n_jobs: is 0; give a whole number of at least 1"
    )


def test_a_setting_that_it_does_not_have_is_told_by_the_launcher() -> None:
    message = refused(_target_=PROCESSES, slots=2)
    assert message.startswith("hydra.launcher: ")
    assert "'slots'" in message


@pytest.mark.parametrize("option", ["ray", "slurm"])
def test_a_package_that_is_missing_is_named(option: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for launcher in ("ray_launcher", "submitit_launcher"):
        monkeypatch.setattr(f"legoloop.app.sweep.launchers.{launcher}.find_spec", lambda name: None)
    with hydra_at_work(), pytest.raises(ConfigError) as error:
        check_launcher(config_of(f"hydra/launcher={option}"))
    assert "which is not installed; install it with: pip install 'legoloop[" in str(error.value)
