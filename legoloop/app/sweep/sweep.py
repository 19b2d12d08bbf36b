"""The jobs of a multirun: checked before the first one begins, launched, and summed up."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.errors import HydraException
from hydra.plugins.launcher import Launcher
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from legoloop.app.config.layout import datasets
from legoloop.app.config.nodes import NodeError
from legoloop.app.config.schema import LAUNCH_KEYS
from legoloop.app.config.trees import plain
from legoloop.app.hydra_bridge.caching_loader import CachingConfigLoader
from legoloop.app.hydra_bridge.job_config import resolve_job_config
from legoloop.app.hydra_bridge.key_origin import set_keys
from legoloop.app.hydra_bridge.messages import told
from legoloop.app.run.lifecycle import shown
from legoloop.app.run.resume import behavioural_keys, parse_resume
from legoloop.app.sweep.process_state import preserve_process_state
from legoloop.app.wiring.make_app import validated_app
from legoloop.core.atomic_files import atomic_write
from legoloop.core.errors import ConfigError, UserError
from legoloop.results.choosing import tags, default_metrics
from legoloop.results.formats import terminal, to_csv, with_causes
from legoloop.results.reading import read_runs, flatten_run_config
from legoloop.results.table import table_of_runs
from legoloop.state.run_record import mark_failed_if_abandoned, read_record
from legoloop.state.sweep_record import lock_sweep

Overrides = Sequence[str]


@dataclass(frozen=True)
class Job:
    """One job of a sweep, and the directory of its run."""

    number: int
    overrides: Overrides
    directory: Path
    configuration: Mapping[str, Any]

    @property
    def what(self) -> Overrides:
        """The overrides that say what the job does, not how it is begun."""
        return [
            text
            for text in self.overrides
            if re.split(r"[.=]", text.lstrip("+~"))[0] not in LAUNCH_KEYS
        ]

    @property
    def has_completed(self) -> bool:
        """Whether its run went on to its end."""
        try:
            return bool(read_record(self.directory)["status"] == "COMPLETED")
        except (OSError, ValueError, KeyError):
            return False


class Sweep:
    """The jobs of one multirun and the folder that holds their runs."""

    def __init__(self, config: DictConfig, jobs: Sequence[Job]) -> None:
        self.directory = Path(config.hydra.sweep.dir).absolute()
        self.jobs = jobs
        self.stops_at_failure = OmegaConf.select(config, "sweep.on_failure") == "stop"

    @classmethod
    @contextmanager
    def begun(cls, config: DictConfig, jobs: Sequence[Job]) -> Iterator[Sweep]:
        """The folder is this sweep's own while inside, and the sweep is summed up at the end.

        Raises ConfigError if the folder is another's.
        """
        sweep = cls(config, jobs)
        resume, _ = parse_resume(config.resume)
        claim = lock_sweep(
            sweep.directory,
            [job.what for job in jobs],
            [job.configuration for job in jobs],
            resume,
            accept=config.on_config_change == "accept",
        )
        try:
            with atomic_write(sweep.directory / "multirun.yaml") as draft:
                OmegaConf.save(config, draft)
            yield sweep
        finally:
            summarize(sweep.directory)
            claim.release()

    def pending(self) -> list[Job]:
        """The jobs that have not completed."""
        left = [job for job in self.jobs if not job.has_completed]
        if len(left) < len(self.jobs):
            print(f"{len(self.jobs) - len(left)} of {len(self.jobs)} jobs have completed already")
        return left

    def launch(self, launcher: Launcher, jobs: Sequence[Job]) -> None:
        """Run these jobs; whatever a launcher raises for them ends them alone."""
        numbers = Numbers([job.number for job in jobs])
        try:
            launcher.launch([job.overrides for job in jobs], initial_job_idx=numbers)
        except Exception as error:
            cause = str(error) if isinstance(error, UserError) else repr(error)
            print(f"error: the launcher: {cause}", file=sys.stderr)
        for job in jobs:
            mark_failed_if_abandoned(job.directory, "its process died before it could say why")


class Numbers(int):
    """The numbers of some jobs: launchers number their jobs by adding their places to the first.

    >>> Numbers([3, 7]) + 1
    7
    """

    def __new__(cls, numbers: Sequence[int]) -> Numbers:
        """An int that is the first of them."""
        made = super().__new__(cls, numbers[0])
        made.numbers = numbers
        return made

    numbers: Sequence[int]

    def __add__(self, place: int) -> int:
        return self.numbers[place]


def checked_jobs(
    config: DictConfig, combinations: Sequence[Overrides], loader: CachingConfigLoader
) -> list[Job]:
    """Compose, check and build each job; data sets that several of them share are read once.

    The loader keeps what was composed, to be launched.

    Raises ConfigError for the first job whose configuration is wrong. What is wrong with the data
    is left for the job to fail with.
    """
    if config.get("show") is not None:
        raise ConfigError(told(NodeError("show", "shows one run; leave out -m"), config))
    folder = Path(os.path.abspath(config.hydra.sweep.dir))
    read: dict[str, Any] = {}
    jobs: dict[Path, Job] = {}
    for number, overrides in enumerate(map(_of_a_job, combinations)):
        composed = None
        try:
            composed = _composed(config, number, overrides, loader)
            with preserve_process_state():
                tree = _checked(composed, read)
        except (ConfigError, HydraException, OmegaConfBaseException) as error:
            raise ConfigError(
                f"job {number} ({' '.join(overrides)}): {told(error, composed)}"
            ) from None
        directory = Path(os.path.abspath(tree["run_dir"]))
        job = Job(number, overrides, directory, behavioural_keys(flatten_run_config(tree)))
        if folder not in directory.parents:
            raise ConfigError(
                f"hydra.sweep.subdir: job {number} would write to {directory}; "
                f"give a folder of its own inside {folder}, as ${{hydra.job.num}} does"
            )
        if (other := jobs.setdefault(job.directory, job)) is not job:
            raise ConfigError(
                f"hydra.sweep.subdir: jobs {other.number} and {number} would both write to "
                f"{job.directory}; give each its own, as ${{hydra.job.num}} does"
            )
    return list(jobs.values())


def summarize(directory: Path) -> None:
    """Write ``results.csv`` into the sweep's folder, failures included, and show the table.

    Nothing if no job has begun.
    """
    try:
        runs = read_runs(directory).runs
    except ConfigError:
        return
    with atomic_write(directory / "results.csv") as draft:
        draft.write_text(to_csv(table_of_runs(runs, tags(runs))))
    print(f"\nsweep directory: {shown(directory)}", flush=True)
    print(with_causes(terminal(table_of_runs(runs, default_metrics(runs))), runs), flush=True)


def _of_a_job(overrides: Overrides) -> Overrides:
    """What a job is composed from: in a sweep that must be there, it may not have begun."""
    return [text for text in overrides if text != "resume=must"]


def _composed(
    config: DictConfig, number: int, overrides: Overrides, loader: CachingConfigLoader
) -> DictConfig:
    try:
        job = loader.load_sweep_config(config, list(overrides))
    except (HydraException, OmegaConfBaseException):
        raise
    except Exception as error:  # a file that is not YAML, for one
        raise ConfigError(told(error)) from error
    loader.keep(overrides, job)
    with open_dict(job):
        job.hydra.job.id = job.hydra.job.num = number
    return job


def _checked(job: DictConfig, read: dict[str, Any]) -> dict[str, Any]:
    """The tree of a job that is right."""
    tree = resolve_job_config(job, Path(job.hydra.sweep.dir) / job.hydra.sweep.subdir)
    app, tree = validated_app(tree, list(set_keys(job.hydra)))
    values = plain(tree)
    parse_resume(values["resume"])
    if tree.get("app") is not None:
        return values
    try:
        _share_datasets(app, values, read)
        app.host()
    except ConfigError:
        raise
    except Exception:
        pass
    return values


def _share_datasets(app: Any, tree: dict[str, Any], read: dict[str, Any]) -> None:
    """Give the app the data sets that were read for an earlier job from equal nodes."""
    keys = {
        name: json.dumps(node, sort_keys=True, default=str) for name, node in datasets(tree).items()
    }
    if not set(keys.values()) <= read.keys():
        read.update({keys[name]: dataset for name, dataset in app.data.datasets().items()})
    app.data.datasets.override({name: read[key] for name, key in keys.items()})
