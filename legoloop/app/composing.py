"""The same app as the command's, for a notebook or a script."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import hydra
from hydra.core.global_hydra import GlobalHydra
from hydra.core.singleton import Singleton
from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from legoloop.app.config_home import CONFIG_NAME, config_home
from legoloop.app.hydra_jobs import begin_job, search_path
from legoloop.app.making import checked_app
from legoloop.app.messages import told
from legoloop.app.origin import set_keys
from legoloop.core.errors import ConfigError
from legoloop.state.claims import refuse_taken


def compose(overrides: Sequence[str] = (), config_dir: str | Path | None = None) -> Any:
    """The app that ``python -m legoloop.run`` would run with these overrides, checked.

    ``config_dir`` is a folder with groups of your own. Seeds all generators, as the command does;
    ``app.host().run()`` then trains, once, and ``app.config`` or ``app.model.override(...)``
    change things before that. Files go to the folder that ``hydra.run.dir`` says; ``run.json``,
    ``config.yaml`` and ``plan.txt`` are the command's.

    Raises ConfigError for a mistake in the configuration, and for a folder that holds a run.

    >>> app = compose(["data=xor", "model=logistic", "optimizer.lr=0.5", "loggers=[]"])
    >>> app.optimizer().param_groups[0]["lr"]
    0.5
    """
    hydras = Singleton.get_state()
    GlobalHydra.instance().clear()
    try:
        return _composed([*overrides, *_search_path(config_dir)])
    finally:
        Singleton.set_state(hydras)


def _composed(overrides: list[str]) -> Any:
    config = None
    with hydra.initialize_config_dir(str(config_home()), version_base="1.3"):
        try:
            config = hydra.compose(CONFIG_NAME, overrides, return_hydra_config=True)
            tree = begin_job(config, config.hydra.run.dir)
            refuse_taken(Path(tree.run_dir), "run")
            app, _ = checked_app(tree, list(set_keys(config.hydra)))
        except (HydraException, OmegaConfBaseException, ConfigError) as error:
            raise ConfigError(told(error, config)) from None
    return app


def _search_path(config_dir: str | Path | None) -> list[str]:
    if config_dir is None:
        return []
    if not Path(config_dir).is_dir():
        raise ConfigError(f"config_dir: there is no folder {config_dir}")
    return [search_path(Path(config_dir))]
