"""A multirun: every job is checked before the first one begins, and all are summed up."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import DictConfig, open_dict
from omegaconf.errors import OmegaConfBaseException

from legoloop.app.hydra_jobs import begin_job, written
from legoloop.app.layout import datasets
from legoloop.app.making import checked_app
from legoloop.app.messages import told
from legoloop.app.origin import set_keys
from legoloop.app.running import shown
from legoloop.app.trees import plain
from legoloop.core.errors import ConfigError
from legoloop.core.whole_files import whole_file
from legoloop.results.choosing import tags, usual_metrics
from legoloop.results.formats import terminal, to_csv
from legoloop.results.reading import read_runs
from legoloop.results.table import table_of_runs

Overrides = Sequence[str]


def jobs_of(config: DictConfig) -> list[Overrides]:
    """The overrides of each job of a multirun; none if another sweeper will choose them."""
    if not str(config.hydra.sweeper._target_).endswith(f".{BasicSweeper.__name__}"):
        return []
    params = [f"{key}={value}" for key, value in (config.hydra.sweeper.params or {}).items()]
    parser = OverridesParser.create(config_loader=GlobalHydra.instance().config_loader())
    overrides = parser.parse_overrides([*params, *written(config.hydra)])
    return list(chain.from_iterable(BasicSweeper.split_arguments(overrides, None)))


def check_jobs(config: DictConfig, jobs: Sequence[Overrides]) -> None:
    """Compose, check and build each job; data sets that several of them share are read once.

    Raises ConfigError for the first job whose configuration is wrong. What is wrong with the data
    is left for the job to fail with.
    """
    read: dict[str, Any] = {}
    for number, overrides in enumerate(jobs):
        job = None
        try:
            job = _composed(config, number, overrides)
            _check(job, read)
        except (ConfigError, HydraException, OmegaConfBaseException) as error:
            raise ConfigError(f"job {number} ({' '.join(overrides)}): {told(error, job)}") from None


def sum_up(directory: Path) -> None:
    """Write ``results.csv`` into the sweep's folder, failures included, and show the table.

    Nothing if no job has begun.
    """
    try:
        runs = read_runs(directory).runs
    except ConfigError:
        return
    with whole_file(directory / "results.csv") as draft:
        draft.write_text(to_csv(table_of_runs(runs, tags(runs))))
    print(f"\nsweep directory: {shown(directory)}", flush=True)
    print(terminal(table_of_runs(runs, usual_metrics(runs))), flush=True)


def _composed(config: DictConfig, number: int, overrides: Overrides) -> DictConfig:
    loader = GlobalHydra.instance().config_loader()
    job = loader.load_sweep_config(config, list(overrides))
    with open_dict(job):
        job.hydra.job.id = job.hydra.job.num = number
    return job


def _check(job: DictConfig, read: dict[str, Any]) -> None:
    tree = begin_job(job, Path(job.hydra.sweep.dir) / job.hydra.sweep.subdir)
    app, tree = checked_app(tree, list(set_keys(job.hydra)))
    if tree.get("app") is not None:
        return
    try:
        _share_datasets(app, plain(tree), read)
        app.host()
    except ConfigError:
        raise
    except Exception:
        return


def _share_datasets(app: Any, tree: dict[str, Any], read: dict[str, Any]) -> None:
    """Give the app the data sets that were read for an earlier job from equal nodes."""
    keys = {
        name: json.dumps(node, sort_keys=True, default=str) for name, node in datasets(tree).items()
    }
    if not set(keys.values()) <= read.keys():
        read.update({keys[name]: dataset for name, dataset in app.data.datasets().items()})
    app.data.datasets.override({name: read[key] for name, key in keys.items()})
