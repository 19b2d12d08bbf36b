from __future__ import annotations

from pathlib import Path

import pytest
from hydra.core.config_store import ConfigStore
from omegaconf import OmegaConf

import legoloop
from legoloop.app.config.settings import defaults, help_text
from legoloop.app.hydra_bridge.shipped_config import (
    CONFIG_NAME,
    SETTINGS_FILE,
    SETTINGS_NAME,
    register_settings,
    shipped_config_dir,
)
from tests.app.composed import config_of, hydra_at_work


def test_it_is_the_folder_beside_the_package_in_a_checkout() -> None:
    assert shipped_config_dir() == Path(legoloop.__file__).parents[1] / "conf"
    assert (shipped_config_dir() / f"{CONFIG_NAME}.yaml").is_file()


def test_in_an_installed_package_it_is_inside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "legoloop"
    (package / "conf").mkdir(parents=True)
    (package / "conf" / "config.yaml").touch()
    monkeypatch.setattr(legoloop, "__file__", str(package / "__init__.py"))
    assert shipped_config_dir() == package / "conf"


def test_the_settings_are_found_by_the_defaults_list() -> None:
    ships = OmegaConf.load(shipped_config_dir() / f"{CONFIG_NAME}.yaml")
    assert SETTINGS_NAME in ships.defaults
    register_settings()
    stored = ConfigStore.instance().load(f"{SETTINGS_NAME}.yaml")
    assert OmegaConf.to_container(stored.node) == defaults()
    assert stored.provider == SETTINGS_FILE
    assert (Path(legoloop.__file__).parents[1] / SETTINGS_FILE).is_file()
    with hydra_at_work():
        config = config_of()
    for key in ("seed", "epoch_size", "device", "app", "resume", "sweep"):  # no option sets them
        assert config[key] == defaults()[key]


def test_the_help_texts_are_found_by_the_help_page() -> None:
    register_settings()
    register_settings()  # a second command in the same process
    assert OmegaConf.create({"text": f"${{{SETTINGS_NAME}:}}"}).text == help_text()
