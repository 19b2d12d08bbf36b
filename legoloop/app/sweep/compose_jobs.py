"""The jobs of a sweep, each composed, checked and built before the first one begins."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from hydra.errors import HydraException
from omegaconf import DictConfig, open_dict
from omegaconf.errors import OmegaConfBaseException
from tqdm import tqdm

from legoloop.app.config.blueprint import Blueprint
from legoloop.app.config.components import dataset_nodes
from legoloop.app.hydra_bridge.caching_loader import CachingConfigLoader
from legoloop.app.hydra_bridge.job_config import (
    blueprint_of_job,
    checked_directory,
    sweep_directory,
)
from legoloop.app.hydra_bridge.messages import as_config_error, format_error
from legoloop.app.run.resume import parse_resume
from legoloop.app.sweep.job import Job, Overrides
from legoloop.app.sweep.process_state import preserve_process_state
from legoloop.app.wiring.make_app import validated_app
from legoloop.core.errors import ConfigError
from legoloop.core.text import shortened
from legoloop.loop.host import TrainingHost

T = TypeVar("T")


def compose_jobs(
    config: DictConfig, combinations: Sequence[Overrides], loader: CachingConfigLoader
) -> list[Job]:
    """Compose, check and build each job; what equal jobs have in common is done once.

    Args:
        config: the composed configuration of the multirun.
        combinations: the overrides of each job.
        loader: composes the jobs.

    Raises ConfigError for the first job whose configuration is wrong. What is wrong with the data
    is left for the job to fail with.
    """
    composer = JobComposer(config, loader)
    in_all = set.intersection(*map(set, combinations))
    return [
        composer.job(number, overrides, [text for text in overrides if text not in in_all])
        for number, overrides in enumerate(with_progress(combinations, "checking the jobs"))
    ]


class JobComposer:
    """Composes, checks and builds the jobs of a sweep; keeps what they have in common.

    Args:
        config: the composed configuration of the multirun.
        loader: composes the jobs.
        complete: is given what was composed for a job, and may add to it.

    Raises ConfigError for a multirun that would only show something.
    """

    def __init__(
        self,
        config: DictConfig,
        loader: CachingConfigLoader,
        complete: Callable[[DictConfig], None] | None = None,
    ) -> None:
        if config.get("show") is not None:
            error = ConfigError("shows one run; leave out -m", key="show")
            raise as_config_error(error, config)
        self.folder = sweep_directory(config)
        self._config = config
        self._loader = loader
        self._complete = complete
        self._datasets: dict[str, Any] = {}
        self._like: Blueprint | None = None
        self._jobs: dict[Path, int] = {}

    def job(self, number: int, overrides: Overrides, varied: Overrides) -> Job:
        """A job whose configuration is right.

        Args:
            number: its place in the sweep.
            overrides: what it is composed from.
            varied: those of them that not all jobs have.

        Raises ConfigError for a mistake in it, and for a directory that is no place for it. What is
        wrong with the data is left for the job to fail with.
        """
        job = self.checked(number, overrides, varied)
        if (other := self._jobs.setdefault(job.directory, number)) != number:
            raise ConfigError(
                f"jobs {other} and {number} would both write to "
                f"{job.directory}; give each its own, as ${{hydra.job.num}} does",
                key="hydra.sweep.subdir",
            )
        return job

    def checked(
        self,
        number: int,
        overrides: Overrides,
        varied: Overrides,
        look: Callable[[TrainingHost], None] | None = None,
    ) -> Job:
        """As ``job``, but others may have its directory; ``look`` is given what was built."""
        # The sweep must exist; one of its jobs may not have started yet.
        overrides = [text for text in overrides if text != "resume=must"]
        composed = None
        try:
            composed = _composed(self._config, number, overrides, self._loader)
            if self._complete is not None:
                self._complete(composed)
            with preserve_process_state():
                blueprint, host = self._built(composed, varied)
        except (ConfigError, HydraException, OmegaConfBaseException) as error:
            raise ConfigError(
                f"job {number} ({shortened(' '.join(overrides))}): "
                f"{format_error(error, composed, overrides)}"
            ) from None
        if look is not None and host is not None:
            with preserve_process_state():
                look(host)
        self._like = blueprint
        directory = Path(os.path.abspath(blueprint.settings.run_dir))
        if self.folder not in directory.parents:
            raise ConfigError(
                f"job {number} would write to {directory}; "
                f"give a folder of its own inside {self.folder}, as ${{hydra.job.num}} does",
                key="hydra.sweep.subdir",
            )
        return Job(number, overrides, directory, blueprint)

    def _built(self, job: DictConfig, varied: Overrides) -> tuple[Blueprint, TrainingHost | None]:
        """The blueprint of a job that can be built, and what was built; None: the data are wrong.

        A container of the user's own is not built.
        """
        name = Path(job.hydra.sweep.dir) / job.hydra.sweep.subdir
        directory = checked_directory(name, "hydra.sweep.subdir")
        sweep = str(self.folder)
        blueprint = blueprint_of_job(job, directory, self._like, sweep=sweep, varied=varied)
        self._check_nodes(blueprint.settings.nodes)
        app, _ = validated_app(blueprint)
        parse_resume(blueprint.settings.resume)
        if blueprint.settings.app is not None:
            return blueprint, None
        try:
            share_datasets(app, blueprint, self._datasets)
            host: TrainingHost = app.host()
        except ConfigError:
            raise
        except Exception:
            return blueprint, None
        return blueprint, host

    def _check_nodes(self, nodes: int) -> None:
        """The launcher has been given the number that was not swept over."""
        if nodes != (in_all := self._config.get("nodes", 1)):
            raise ConfigError(
                f"is {nodes}, but all jobs of a sweep have as many, here {in_all}",
                key="nodes",
                remedy="make a sweep of each number",
            )


class _Bar(tqdm):  # type: ignore[type-arg]
    monitor_interval = 0  # no thread, which would stay


def with_progress(items: Sequence[T], what: str) -> Iterator[T]:
    """The items, with a progress bar on a terminal."""
    yield from _Bar(
        items, desc=what, unit="job", leave=False, delay=0.5, disable=not sys.stderr.isatty()
    )


def _composed(
    config: DictConfig, number: int, overrides: Overrides, loader: CachingConfigLoader
) -> DictConfig:
    try:
        job = loader.load_sweep_config(config, list(overrides))
    except (HydraException, OmegaConfBaseException):
        raise
    except Exception as error:  # a file that is not YAML, for one
        raise as_config_error(error, overrides=overrides) from error
    with open_dict(job):
        job.hydra.job.id = job.hydra.job.num = number
    return job


def share_datasets(app: Any, blueprint: Blueprint, read: dict[str, Any]) -> None:
    """Give the app the data sets that were read for an earlier job from equal nodes."""
    keys = {
        name: json.dumps(node, sort_keys=True, default=str)
        for name, node in dataset_nodes(blueprint.tree).items()
    }
    if not set(keys.values()) <= read.keys():
        read.update({keys[name]: dataset for name, dataset in app.data.datasets().items()})
    app.data.datasets.override({name: read[key] for name, key in keys.items()})
