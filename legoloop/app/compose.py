"""``compose()``: build the app in a notebook or a script, as the command would."""

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
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from legoloop.app.config.blueprint import Blueprint
from legoloop.app.hydra_bridge.broken_plugins import skip_broken_plugins
from legoloop.app.hydra_bridge.job_config import blueprint_of_job, run_directory
from legoloop.app.hydra_bridge.messages import format_error
from legoloop.app.hydra_bridge.overrides import search_path
from legoloop.app.hydra_bridge.shipped_config import (
    register_settings,
    shipped_config_dir,
)
from legoloop.app.hydra_bridge.tree_as_yaml import tree_as_yaml
from legoloop.app.run.lifecycle import Prepared, lock_directory, logged, recording
from legoloop.app.run.rerun import primary_config_of
from legoloop.app.run.resume import parse_resume
from legoloop.app.wiring.make_app import validated_app
from legoloop.core.atomic_files import atomic_write
from legoloop.core.errors import ConfigError
from legoloop.core.output_streams import tolerant_output
from legoloop.core.run_directory import CONFIG, HYDRA, LOG
from legoloop.state.run_record import check_startable


def compose(overrides: Sequence[str] = (), config_dir: str | Path | None = None) -> Any:
    """The app that ``python -m legoloop.run`` would run with these overrides, checked.

    ``config_dir`` is a folder with groups of your own. Seeds all generators, as the command does;
    ``app.host().run()`` then trains, once, and ``app.config`` or ``app.model.override(...)``
    change things before that. The run writes what the command's does, log and record included,
    to the folder that ``hydra.run.dir`` says; one that was interrupted there is resumed.
    ``rerun=RUN`` among the overrides makes that run again, from its record.

    Raises ConfigError for a mistake in the configuration, and for a folder that holds a run which
    is not to be resumed.

    >>> app = compose(["data=xor", "model=logistic", "optimizer.lr=0.5", "loggers=[]"])
    >>> app.optimizer().param_groups[0]["lr"]
    0.5
    """
    skip_broken_plugins()
    register_settings()
    hydras = Singleton.get_state()
    GlobalHydra.instance().clear()
    try:
        return _composed([*overrides, *_search_path(config_dir)])
    finally:
        Singleton.set_state(hydras)


def _composed(overrides: list[str]) -> Any:
    config: DictConfig | None = None
    primary = _primary_config(overrides)
    with hydra.initialize_config_dir(str(shipped_config_dir()), version_base="1.3"):
        try:
            config = hydra.compose(primary, overrides, return_hydra_config=True)
            blueprint = blueprint_of_job(config, run_directory(config))
            settings = blueprint.settings
            _reject_ranks(settings.ranks)
            check_startable(Path(settings.run_dir), parse_resume(settings.resume)[0])
            app, fed = validated_app(blueprint)
        except (HydraException, OmegaConfBaseException, ConfigError, YAMLError) as error:
            raise ConfigError(format_error(error, config, overrides)) from None
        except ValueError as error:  # for one, of a group that is no name
            if config is not None:
                raise
            raise ConfigError(format_error(error, config, overrides)) from None
    if isinstance(app.host, providers.BaseSingleton):
        context = partial(_as_a_command, fed, blueprint, app)
        app.host.add_attributes(run_context=providers.Object(context))
    return app


def _reject_ranks(ranks: int) -> None:
    """An app is of one process."""
    if ranks > 1:
        raise ConfigError(
            f"is {ranks}, but an app that is composed in code trains in this process alone",
            key="ranks",
            remedy="start it as a command: python -m legoloop.run, or torchrun -m legoloop.run",
        )


def _primary_config(overrides: list[str]) -> str:
    """What the command composes from: what ships, or the record of the run to make again."""
    try:
        return primary_config_of(overrides)
    except (HydraException, OmegaConfBaseException, ConfigError, YAMLError, ValueError) as error:
        raise ConfigError(format_error(error, overrides=overrides)) from None


@contextmanager
def _as_a_command(fed: Blueprint, composed: Blueprint, app: Any) -> Iterator[None]:
    """What happens inside is the app's run: locked, recorded and logged."""
    now = app.blueprint() if "blueprint" in app.providers else fed
    prepared = Prepared(now, composed, app, app.host())
    record = lock_directory(prepared)
    _write_as_composed(prepared)
    with tolerant_output(), logged(prepared.directory / LOG), recording(prepared, record):
        yield


def _write_as_composed(prepared: Prepared) -> None:
    """Write the configuration with its references, as Hydra does for the command."""
    with atomic_write(prepared.directory / HYDRA / CONFIG, durable=False) as draft:
        draft.write_text(tree_as_yaml(prepared.composed.unresolved))


def _search_path(config_dir: str | Path | None) -> list[str]:
    if config_dir is None:
        return []
    if not Path(config_dir).is_dir():
        raise ConfigError(f"config_dir: there is no folder {config_dir}")
    return [search_path(Path(config_dir))]
