"""What a run is made of is composed once, and is what Hydra would have composed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.hydra import Hydra
from hydra._internal.utils import _run_app, create_config_search_path
from hydra.core.global_hydra import GlobalHydra
from hydra.core.singleton import Singleton
from hydra.types import RunMode
from omegaconf import OmegaConf

from legoloop.app.hydra_bridge.internals import composed_once
from legoloop.app.hydra_bridge.shipped_config import (
    CONFIG_NAME,
    register_settings,
    shipped_config_dir,
)

COMMANDS = [
    (False, []),
    (False, ["data=xor", "model=mlp", "optimizer.lr=0.1", "+plugins/early_stopping"]),
    (False, ["hydra.mode=RUN", "hydra.run.dir=elsewhere", "seed=1"]),
    (False, ["hydra.mode=MULTIRUN", "seed=1,2"]),
    (True, ["seed=1,2"]),
    (True, ["seed=1"]),
    (False, ["seed=1,2"]),
    (False, ["model=nothing"]),
    (False, ["nothing=1"]),
    (True, ["model=nothing"]),
]


@pytest.fixture(autouse=True)
def as_if_no_hydra_had_been() -> Iterator[None]:
    before = Singleton.get_state()
    GlobalHydra.instance().clear()
    yield
    Singleton.set_state(before)


def carried_out(is_multirun: bool, overrides: list[str]) -> tuple[str, str]:
    """What Hydra's own main does with its arguments: a run or a multirun, and of what."""
    register_settings()
    GlobalHydra.instance().clear()
    hydra = Hydra.create_main_hydra2("run", create_config_search_path(str(shipped_config_dir())))
    told: list[tuple[str, str]] = []

    def does(run_mode: RunMode) -> Any:
        def compose(config_name: str, task_function: Any, overrides: list[str]) -> None:
            try:
                config = hydra.compose_config(config_name, overrides, run_mode)
                told.append((run_mode.name, OmegaConf.to_yaml(config)))
            except Exception as error:
                told.append((run_mode.name, f"{type(error).__name__}: {error}"))

        return compose

    hydra.run, hydra.multirun = does(RunMode.RUN), does(RunMode.MULTIRUN)  # type: ignore[method-assign]
    overrides = list(overrides)
    mode = hydra.get_mode(CONFIG_NAME, overrides)
    _run_app(not is_multirun, is_multirun, mode, hydra, CONFIG_NAME, lambda tree: None, overrides)
    (done,) = told
    return done


@pytest.mark.parametrize(("is_multirun", "overrides"), COMMANDS)
def test_it_is_what_hydra_composes(is_multirun: bool, overrides: list[str]) -> None:
    with composed_once():
        ours = carried_out(is_multirun, overrides)
    assert ours == carried_out(is_multirun, overrides)


def test_a_run_is_composed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    times = 0
    impl = ConfigLoaderImpl._load_configuration_impl

    def counted(*args: Any, **kwargs: Any) -> Any:
        nonlocal times
        times += 1
        return impl(*args, **kwargs)

    monkeypatch.setattr(ConfigLoaderImpl, "_load_configuration_impl", counted)
    with composed_once():
        carried_out(False, ["seed=1"])
    assert times == 1
