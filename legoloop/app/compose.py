"""The same app as the command's, for a notebook or a script."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import hydra
from dependency_injector import providers
from hydra.core.global_hydra import GlobalHydra
from hydra.core.singleton import Singleton
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from legoloop.app.config.trees import plain
from legoloop.app.hydra_bridge.broken_plugins import skip_broken_plugins
from legoloop.app.hydra_bridge.job_config import (
    resolve_job_config,
    run_directory,
    search_path,
    written,
)
from legoloop.app.hydra_bridge.key_origin import set_keys
from legoloop.app.hydra_bridge.messages import told
from legoloop.app.hydra_bridge.shipped_config import CONFIG_NAME, shipped_config_dir
from legoloop.app.run.lifecycle import Prepared, claim, logged, recorded
from legoloop.app.run.resume import parse_resume
from legoloop.app.wiring.make_app import validated_app
from legoloop.core.errors import ConfigError
from legoloop.state.run_record import check_startable


def compose(overrides: Sequence[str] = (), config_dir: str | Path | None = None) -> Any:
    """The app that ``python -m legoloop.run`` would run with these overrides, checked.

    ``config_dir`` is a folder with groups of your own. Seeds all generators, as the command does;
    ``app.host().run()`` then trains, once, and ``app.config`` or ``app.model.override(...)``
    change things before that. The run writes what the command's does, log and record included,
    to the folder that ``hydra.run.dir`` says; one that was interrupted there is resumed.

    Raises ConfigError for a mistake in the configuration, and for a folder that holds a run which
    is not to be resumed.

    >>> app = compose(["data=xor", "model=logistic", "optimizer.lr=0.5", "loggers=[]"])
    >>> app.optimizer().param_groups[0]["lr"]
    0.5
    """
    skip_broken_plugins()
    hydras = Singleton.get_state()
    GlobalHydra.instance().clear()
    try:
        return _composed([*overrides, *_search_path(config_dir)])
    finally:
        Singleton.set_state(hydras)


def _composed(overrides: list[str]) -> Any:
    config = None
    with hydra.initialize_config_dir(str(shipped_config_dir()), version_base="1.3"):
        try:
            config = hydra.compose(CONFIG_NAME, overrides, return_hydra_config=True)
            tree = resolve_job_config(config, run_directory(config))
            check_startable(Path(tree.run_dir), parse_resume(tree.resume)[0])
            app, tree = validated_app(tree, list(set_keys(config.hydra)))
        except (HydraException, OmegaConfBaseException, ConfigError) as error:
            raise ConfigError(told(error, config)) from None
    if isinstance(app.host, providers.BaseSingleton):
        within = partial(_as_a_command, tree, written(config.hydra), app)
        app.host.add_attributes(run_context=providers.Object(within))
    return app


@contextmanager
def _as_a_command(tree: DictConfig, overrides: list[str], app: Any) -> Iterator[None]:
    """What happens inside is the app's run: claimed, recorded and logged."""
    now = OmegaConf.create(app.tree() if "tree" in app.providers else plain(tree))
    prepared = Prepared(now, overrides, app, app.host())
    record = claim(prepared)
    with logged(prepared.directory / "run.log"), recorded(prepared, record):
        yield


def _search_path(config_dir: str | Path | None) -> list[str]:
    if config_dir is None:
        return []
    if not Path(config_dir).is_dir():
        raise ConfigError(f"config_dir: there is no folder {config_dir}")
    return [search_path(Path(config_dir))]
