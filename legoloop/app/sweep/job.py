"""One job of a sweep."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.types import TaskFunction
from omegaconf import DictConfig

from legoloop.app.config.blueprint import Blueprint
from legoloop.app.config.settings import LAUNCH_KEYS, OBSERVATION_KEYS
from legoloop.app.sweep.job_output import output_to
from legoloop.app.sweep.process_state import preserve_process_state
from legoloop.core.run_directory import OUTPUT
from legoloop.state.run_record import DONE, read_record

Overrides = Sequence[str]


@dataclass(frozen=True)
class Job:
    """One job of a sweep.

    Args:
        number: its place in the sweep.
        overrides: what it is composed from.
        directory: of its run.
        blueprint: what it will run.
    """

    number: int
    overrides: Overrides
    directory: Path
    blueprint: Blueprint

    @property
    def training_overrides(self) -> Overrides:
        """The overrides that say what the job does, not how it is launched or observed."""
        others = (*LAUNCH_KEYS, *OBSERVATION_KEYS)
        return [
            text for text in self.overrides if re.split(r"[.=]", text.lstrip("+~"))[0] not in others
        ]

    @property
    def has_completed(self) -> bool:
        """Whether its run went on to its end."""
        try:
            return read_record(self.directory)["status"] in DONE
        except (OSError, ValueError, KeyError):
            return False


class JobTask:
    """What a launcher calls for a job: the task, given the blueprint that was checked.

    Args:
        task: takes the tree that Hydra composed and the blueprint.
        blueprints: those of the jobs that are known, by number.
        knows_all: whether these are all jobs of the sweep.
    """

    def __init__(
        self, task: TaskFunction, blueprints: Mapping[int, Blueprint], knows_all: bool = False
    ) -> None:
        self.task = task
        self.blueprints = dict(blueprints)
        self.knows_all = knows_all

    def add(self, job: Job) -> None:
        """Know the blueprint of one more job."""
        self.blueprints[job.number] = job.blueprint

    def of_job(self, number: int) -> JobTask:
        """The same for one job alone, to be sent to its process."""
        known = self.blueprints.get(number)
        return JobTask(self.task, {} if known is None else {number: known})

    def __call__(self, tree: DictConfig) -> Any:
        """What the task returns; what it changes of the process is undone.

        What it prints goes to ``output.log`` in its directory, or is shown, as ``sweep.output``
        says.
        """
        from hydra.core.hydra_config import HydraConfig

        blueprint = self.blueprints.get(HydraConfig.get().job.num)
        with preserve_process_state(), _output_of(blueprint):
            return self.task(tree, blueprint)  # type: ignore[call-arg]


@contextmanager
def _output_of(blueprint: Blueprint | None) -> Iterator[None]:
    """While inside, what a job prints goes where its settings say."""
    if blueprint is None:
        yield
    elif blueprint.settings.sweep.output == "all":
        print(f"job: {' '.join(blueprint.overrides)}", flush=True)
        yield
    else:
        with output_to(Path(blueprint.settings.run_dir, OUTPUT)):
            yield
