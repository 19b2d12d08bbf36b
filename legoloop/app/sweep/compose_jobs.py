"""The jobs of a sweep, each composed, checked and built before the first one begins."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

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
    if config.get("show") is not None:
        raise as_config_error(ConfigError("shows one run; leave out -m", key="show"), config)
    folder = sweep_directory(config)
    datasets: dict[str, Any] = {}
    jobs: dict[Path, Job] = {}
    like: Blueprint | None = None
    in_all = set.intersection(*map(set, combinations))
    for number, overrides in enumerate(_with_progress(combinations)):
        composed = None
        try:
            composed = _composed(config, number, overrides, loader)
            with preserve_process_state():
                varied = [text for text in overrides if text not in in_all]
                blueprint = _checked(composed, like, datasets, str(folder), varied)
        except (ConfigError, HydraException, OmegaConfBaseException) as error:
            raise ConfigError(
                f"job {number} ({shortened(' '.join(overrides))}): "
                f"{format_error(error, composed, overrides)}"
            ) from None
        like = blueprint
        directory = Path(os.path.abspath(blueprint.settings.run_dir))
        job = Job(number, overrides, directory, blueprint)
        if folder not in directory.parents:
            raise ConfigError(
                f"job {number} would write to {directory}; "
                f"give a folder of its own inside {folder}, as ${{hydra.job.num}} does",
                key="hydra.sweep.subdir",
            )
        if (other := jobs.setdefault(job.directory, job)) is not job:
            raise ConfigError(
                f"jobs {other.number} and {number} would both write to "
                f"{job.directory}; give each its own, as ${{hydra.job.num}} does",
                key="hydra.sweep.subdir",
            )
    return list(jobs.values())


class _Bar(tqdm):  # type: ignore[type-arg]
    monitor_interval = 0  # no thread, which would stay


def _with_progress(combinations: Sequence[Overrides]) -> Iterator[Overrides]:
    """The overrides that each job is composed from, with a progress bar on a terminal."""
    bar = _Bar(
        combinations,
        desc="checking the jobs",
        unit="job",
        leave=False,
        delay=0.5,
        disable=not sys.stderr.isatty(),
    )
    for overrides in bar:
        # The sweep must exist; one of its jobs may not have started yet.
        yield [text for text in overrides if text != "resume=must"]


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


def _checked(
    job: DictConfig,
    like: Blueprint | None,
    datasets: dict[str, Any],
    sweep: str,
    varied: Overrides,
) -> Blueprint:
    """The blueprint of a job that can be built."""
    name = Path(job.hydra.sweep.dir) / job.hydra.sweep.subdir
    directory = checked_directory(name, "hydra.sweep.subdir")
    blueprint = blueprint_of_job(job, directory, like, sweep=sweep, varied=varied)
    app, _ = validated_app(blueprint)
    parse_resume(blueprint.settings.resume)
    if blueprint.settings.app is not None:
        return blueprint
    try:
        _share_datasets(app, blueprint, datasets)
        app.host()
    except ConfigError:
        raise
    except Exception:
        pass
    return blueprint


def _share_datasets(app: Any, blueprint: Blueprint, read: dict[str, Any]) -> None:
    """Give the app the data sets that were read for an earlier job from equal nodes."""
    keys = {
        name: json.dumps(node, sort_keys=True, default=str)
        for name, node in dataset_nodes(blueprint.tree).items()
    }
    if not set(keys.values()) <= read.keys():
        read.update({keys[name]: dataset for name, dataset in app.data.datasets().items()})
    app.data.datasets.override({name: read[key] for name, key in keys.items()})
