"""Jobs for a Ray cluster, or for Ray on this machine: ``hydra/launcher=ray``."""

from __future__ import annotations

import os
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from shutil import rmtree
from typing import Any
from uuid import uuid4

from hydra.core.utils import JobReturn
from omegaconf import DictConfig, OmegaConf

from legoloop.app.run.rendezvous import Rendezvous
from legoloop.app.run.signals import interruptions
from legoloop.app.sweep.launchers.job_nodes import ALONE, JobNode
from legoloop.app.sweep.launchers.jobs import OneByOneLauncher, SentJob, has_failed
from legoloop.app.sweep.launchers.ray_job import carried_out
from legoloop.core.errors import ArgumentError, ConfigError, MissingExtraError
from legoloop.core.interruption import Interrupted
from legoloop.core.text import printable

LOOK_EVERY = 0.5  # seconds
LEAVE_TIMEOUT = 60.0
"""Seconds that the other nodes of a job have to end when its run has, or Ray to say they died."""


class RayLauncher(OneByOneLauncher):
    """A Ray task, in a process of its own, for each job; one that dies is one failed job.

    One whose node dies begins again on another, and resumes in its directory. A job of several
    nodes has a task on each: the first is its run, the others start ranks.

    Args:
        init: for ``ray.init``.
        remote: for ``ray.remote``: what a job needs, on each of its nodes.
        n_jobs: how many are submitted at once; None: as many as the nodes have room for.
        retries: how often a job whose node died begins again.
        nodes: how many each job has.

    Raises MissingExtraError without Ray, ArgumentError for numbers that cannot be.
    """

    is_on_cluster = True

    def __init__(
        self,
        init: DictConfig,
        remote: DictConfig,
        n_jobs: int | None = None,
        retries: int = 3,
        nodes: int = 1,
    ) -> None:
        if find_spec("ray") is None:
            raise MissingExtraError.of("hydra/launcher=ray", "ray", "ray")
        for name, value, least in (
            ("n_jobs", n_jobs, 1),
            ("retries", retries, 0),
            ("nodes", nodes, 1),
        ):
            if value is not None and (type(value) is not int or value < least):
                remedy = f"give a whole number of at least {least}"
                raise ArgumentError(f"is {value!r}", argument=name, remedy=remedy)
        if nodes > 1 and not needs(remote):
            problem = f"asks for nothing, which is on any of {nodes} nodes"
            raise ArgumentError(problem, argument="remote", remedy="give remote.num_cpus")
        self._init: Any = OmegaConf.to_container(init)
        self._remote: Any = OmegaConf.to_container(remote)
        self._n_jobs = n_jobs
        self._retries = retries
        self.nodes = nodes

    def execute(
        self, jobs: Iterator[SentJob], ended: Callable[[int], None] = lambda number: None
    ) -> list[JobReturn]:
        """How each of the jobs that began ended, in their order; ``ended`` is called for each.

        What asks the sweep to end interrupts the jobs, and is raised when they have saved and
        ended; a second Ctrl-C kills them.
        """
        import ray

        asked: list[Interrupted] = []
        with ray.init(**_with_path(self._init)), interruptions(asked.append):
            tasks = Tasks(self._remote, self._retries, ended, self.nodes)
            try:
                while not (
                    asked or (self.stops_on_failure and has_failed(tasks.returned.values()))
                ):
                    if tasks.number >= self._places():
                        tasks.look()
                    elif (job := next(jobs, None)) is not None:
                        tasks.submit(job)
                    else:
                        break
                while tasks.number:
                    if asked:
                        tasks.interrupt()
                    tasks.look()
            finally:
                tasks.kill()
                if self.nodes > 1:
                    rmtree(_rendezvous(self.config), ignore_errors=True)
        if asked:
            raise asked[0]
        return [tasks.returned[number] for number in sorted(tasks.returned)]

    def _places(self) -> float:
        """How many jobs may be submitted at once."""
        import ray

        if self._n_jobs is not None:
            return self._n_jobs
        nodes: Any = ray.nodes
        found = [node["Resources"] for node in nodes() if node["Alive"]]
        return checked_room(found, needs(self._remote), self.nodes)


@dataclass(frozen=True)
class Submitted:
    """A job that was given to Ray.

    Args:
        job: of the sweep.
        others: the tasks on its nodes other than the first.
        group: the placement group of its nodes; None: it has one.
    """

    job: SentJob
    others: Sequence[Any] = ()
    group: Any = None


class Tasks:
    """The tasks of the jobs that have been submitted, and how those ended that have.

    Args:
        remote: for ``ray.remote``.
        retries: how often a job begins again.
        ended: is called with the number of each job that has ended.
        nodes: how many each job has.
    """

    def __init__(
        self,
        remote: Mapping[str, Any],
        retries: int,
        ended: Callable[[int], None],
        nodes: int = 1,
    ) -> None:
        import ray

        # Ray's own retries would begin a job again that ends its process, too.
        self._task: Any = ray.remote(max_calls=1, max_retries=0, **remote)(carried_out)
        self._needs = needs(remote)
        self._retries = retries
        self._ended = ended
        self._nodes = nodes
        self._tries: Counter[int] = Counter()
        self._running: dict[Any, Submitted] = {}
        self._is_interrupted = False
        self.returned: dict[int, JobReturn] = {}

    @property
    def number(self) -> int:
        """How many have not ended."""
        return len(self._running)

    def submit(self, job: SentJob) -> None:
        """Give a job to Ray."""
        self._tries[job.number] += 1
        given = (job, os.getcwd(), self._tries[job.number] > 1)
        if self._nodes == 1:
            self._running[self._task.remote(*given, ALONE)] = Submitted(job)
            return
        file = _rendezvous(job.config) / f"{job.number}-{uuid4().hex}.json"
        rendezvous = Rendezvous(file, self._nodes)
        nodes = [JobNode(number, rendezvous) for number in range(self._nodes)]
        group, places = _spread(self._needs, self._nodes)
        first, *others = (
            self._task.options(scheduling_strategy=place).remote(*given, node)
            for place, node in zip(places, nodes, strict=True)
        )
        self._running[first] = Submitted(job, others, group)

    def look(self) -> None:
        """Wait a moment for one to end; those that have are taken note of."""
        import ray
        from ray.exceptions import NodeDiedError, RayError, TaskCancelledError

        for reference in ray.wait(list(self._running), timeout=LOOK_EVERY)[0]:
            submitted = self._running.pop(reference)
            job = submitted.job
            has_lost_a_node = _release(submitted)
            try:
                returned = ray.get(reference)
                was_ended = has_lost_a_node and has_failed([returned])
            except RayError as error:
                was_ended = isinstance(error, NodeDiedError | TaskCancelledError)
                if was_ended and self._is_interrupted:
                    continue
                returned = cause_of(error)
            if was_ended and not self._is_interrupted and self._tries[job.number] <= self._retries:
                self.submit(job)
                continue
            if isinstance(returned, str):
                returned = job.died(returned)
            self.returned[job.number] = returned
            self._ended(job.number)

    def interrupt(self) -> None:
        """Interrupt them, once: those that have begun save, the others do not begin."""
        if not self._is_interrupted:
            self._is_interrupted = True
            self._cancel(force=False)

    def kill(self) -> None:
        """End them at once."""
        self._cancel(force=True)

    def _cancel(self, force: bool) -> None:
        import ray

        for first, submitted in self._running.items():
            for reference in (first, *submitted.others):
                ray.cancel(reference, force=force)


def _rendezvous(config: DictConfig) -> Path:
    """The folder in which the nodes of jobs meet; it is gone when the sweep has ended."""
    return Path(config.hydra.sweep.dir).absolute() / ".nodes"


def _spread(needs: Mapping[str, float], nodes: int) -> tuple[Any, list[Any]]:
    """A placement group of so many nodes, and the strategies that put a task on each of them."""
    from ray.util.placement_group import placement_group
    from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

    group = placement_group([dict(needs)] * nodes, strategy="STRICT_SPREAD")
    return group, [PlacementGroupSchedulingStrategy(group, number) for number in range(nodes)]


def _release(submitted: Submitted) -> bool:
    """Let go of the other nodes of a job whose run has ended; whether one of them had died."""
    import ray
    from ray.exceptions import NodeDiedError, RayError
    from ray.util.placement_group import remove_placement_group

    if submitted.group is None:
        return False
    others = list(submitted.others)
    ended, going_on = ray.wait(others, num_returns=len(others), timeout=LEAVE_TIMEOUT)
    has_died = False
    for reference in ended:
        try:
            ray.get(reference)
        except NodeDiedError:
            has_died = True
        except RayError:
            pass  # the first node has reported its cause
    for reference in going_on:
        ray.cancel(reference, force=True)
    remove_placement_group(submitted.group)
    return has_died


def needs(remote: Mapping[str, Any]) -> dict[str, float]:
    """What a job needs, by Ray's names of resources.

    >>> needs({"num_cpus": 2, "num_gpus": 0, "resources": {"tpu": 1}})
    {'CPU': 2, 'tpu': 1}
    """
    own = {"num_cpus": "CPU", "num_gpus": "GPU", "memory": "memory"}
    named = {name: remote.get(key, 0) for key, name in own.items()}
    all_of_them = {**named, **remote.get("resources", {})}
    return {name: amount for name, amount in all_of_them.items() if amount}


def room(nodes: Sequence[Mapping[str, float]], needs: Mapping[str, float], each: int = 1) -> float:
    """How many jobs fit on the nodes at once, of which each needs so much on ``each`` of its nodes.

    >>> room([{"CPU": 5.0}, {"CPU": 2.0, "GPU": 1.0}, {}], {"CPU": 2})
    3
    >>> room([{"CPU": 5.0}], {"CPU": 2, "GPU": 1})
    0
    >>> room([{"CPU": 5.0}, {"CPU": 2.0}, {"CPU": 2.0}], {"CPU": 2}, each=2)
    2
    """
    if not needs:
        return float("inf")
    fits = [min(int(node.get(name, 0) / needs[name]) for name in needs) for node in nodes]
    jobs = sum(fits) // each
    while sum(min(jobs, number) for number in fits) < jobs * each:  # a job once a node
        jobs -= 1
    return jobs


def checked_room(
    nodes: Sequence[Mapping[str, float]], needs: Mapping[str, float], each: int = 1
) -> float:
    """The same; raises ConfigError if there is room for none, which would be waited for."""
    number = room(nodes, needs, each)
    if number < 1:
        on = "no node has room" if each == 1 else f"not {each} nodes have room"
        raise ConfigError(
            f"asks for {printable(str(needs))}, for which {on}",
            key="hydra.launcher.remote",
            remedy="ask for less, or give hydra.launcher.n_jobs where nodes are yet to come",
        )
    return number


def cause_of(error: Exception) -> str:
    """Why a task failed, without the traceback that Ray puts before it.

    >>> cause_of(RuntimeError("\\x1b[36mray::job()\\x1b[39m (pid=1)\\nNo module named 'mine'"))
    "RuntimeError: No module named 'mine'"
    """
    cause = getattr(error, "cause", None)
    if isinstance(cause, Exception):
        return f"{type(cause).__name__}: {printable(str(cause))}"
    text = re.sub(r"\x1b\[[0-9;]*m", "", str(error)).strip()
    return f"{type(error).__name__}: {printable(text.rpartition(chr(10))[2])}"


def _with_path(init: Mapping[str, Any]) -> dict[str, Any]:
    """The same, with this process's path of modules for the workers of a cluster."""
    environment = init.get("runtime_env") or {}
    path = os.pathsep.join(filter(os.path.isabs, sys.path))
    variables = {"PYTHONPATH": path, **environment.get("env_vars", {})}
    return {**init, "runtime_env": {**environment, "env_vars": variables}}
