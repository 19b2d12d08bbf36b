"""Scalars for MLflow."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar

import yaml

from legoloop.core.errors import DataError, MissingExtraError
from legoloop.core.protocols import Scalars, ScalarSource, TrainingProgress
from legoloop.loop.plugin import State
from legoloop.output.scalars.scalar_writer import ScalarWriter

log = logging.getLogger("legoloop")

Item = TypeVar("Item")

SHARE = 0.05
"""Of the time of a run at most so much goes into sending before the end."""

MOST_METRICS, MOST_PARAMS, LONGEST_PARAM = 1000, 100, 6000
"""What MLflow takes at once."""


class MlflowLogger(ScalarWriter):
    """Writes the scalars of the sources to a run of an MLflow tracking server.

    ``tracking_uri`` is the server, or a database such as ``sqlite:///mlflow.db``, None: as MLflow
    is set up. The run is one of ``experiment``, which is made if need be, and has the name
    ``run_name``, None: one that MLflow makes up. ``params`` are what the run was made with: a dict,
    or a YAML file that is there when the training starts; nested keys are joined with dots.
    ``artifacts`` are files and folders that are uploaded once the training has ended.

    Reports that follow each other quickly are sent together, those up to a checkpoint and to the
    end always. A resumed run goes on with the same run there; what the attempt before it reported
    beyond the saved state stays, since MLflow takes nothing back, and is not reported again.

    Raises MissingExtraError without the package mlflow, DataError if the server does not answer.

    >>> from legoloop.training.counter import Counter
    >>> class Half:
    ...     def scalars(self): return {"half": 0.5}
    >>> logger = MlflowLogger(
    ...     Counter(), Half(), "http://localhost:5000", params={"lr": 0.1}
    ... )  # doctest: +SKIP
    """

    def __init__(
        self,
        counter: TrainingProgress,
        sources: ScalarSource | Iterable[ScalarSource],
        tracking_uri: str | None = None,
        experiment: str = "legoloop",
        run_name: str | None = None,
        params: Mapping[str, Any] | str | Path | None = None,
        artifacts: Iterable[str | Path] = (),
        every_steps: int | None = None,
    ) -> None:
        super().__init__(counter, sources, every_steps)
        if find_spec("mlflow") is None:
            raise MissingExtraError.of("MlflowLogger", "mlflow", "mlflow")
        self.tracking_uri = tracking_uri
        self.experiment = experiment
        self.run_name = run_name
        self.params = params
        self.artifacts = [Path(artifact) for artifact in artifacts]
        self.run_id: str | None = None
        self._connected: Any = None
        self._there: set[tuple[str, int]] = set()  # reported by an attempt before, beyond its save
        self._waiting: list[tuple[str, float, int, int]] = []  # tag, value, step, when
        self._due = time.monotonic()
        self._has_begun = self._has_ended = False

    def train_start(self) -> None:
        """Begin a run there, or go on with that of the attempts before."""
        if self.run_id is None:
            self._begin()
            return
        with self._asking() as client:
            client.update_run(self.run_id, status="RUNNING")
            for tag in client.get_run(self.run_id).data.metrics:
                history = client.get_metric_history(self.run_id, tag)
                self._there.update((tag, metric.step) for metric in history)
        self._has_begun = True

    def write(self, step: int, scalars: Scalars) -> None:
        """Send what is not there, if it is time."""
        when = int(time.time() * 1000)
        new = [(allowed(tag), value, step, when) for tag, value in scalars.items()]
        self._waiting += [metric for metric in new if (metric[0], step) not in self._there]
        if time.monotonic() >= self._due:
            self.catch_up()

    def train_end(self) -> None:
        """Report what was measured at the end."""
        super().train_end()
        self._has_ended = True

    def close(self) -> None:
        """Tell how the run ended; other plugins have written by now what is uploaded."""
        if not self._has_begun:
            return
        self._has_begun = False
        try:
            self.catch_up()
            with self._asking() as client:
                for artifact in self.artifacts if self._has_ended else ():
                    if artifact.is_dir():
                        client.log_artifacts(self.run_id, str(artifact), artifact.name)
                    elif artifact.exists():
                        client.log_artifact(self.run_id, str(artifact))
                client.set_terminated(self.run_id, "FINISHED" if self._has_ended else "KILLED")
        except DataError as error:  # a run that did not come to its end has an error of its own
            if self._has_ended:
                raise
            log.warning("%s", error)

    def state_dict(self) -> State:
        """Which run it is; all that was reported has been sent."""
        return {**super().state_dict(), "run_id": self.run_id}

    def load_state_dict(self, state: State) -> None:
        """Go on with that run."""
        super().load_state_dict(state)
        self.run_id = state["run_id"]

    def _begin(self) -> None:
        from mlflow.entities import Param

        with self._asking() as client:
            run = client.create_run(self._experiment_id(client), run_name=self.run_name)
            self.run_id = run.info.run_id
            params = [Param(key, value) for key, value in flat(self._told_params()).items()]
            for some in in_parts(params, MOST_PARAMS):
                client.log_batch(self.run_id, params=some)
        self._has_begun = True

    def _experiment_id(self, client: Any) -> str:
        from mlflow.exceptions import MlflowException

        if (found := client.get_experiment_by_name(self.experiment)) is None:
            try:
                made: str = client.create_experiment(self.experiment)
                return made
            except MlflowException:  # another job of a sweep may have been quicker
                if (found := client.get_experiment_by_name(self.experiment)) is None:
                    raise
        experiment_id: str = found.experiment_id
        return experiment_id

    def _told_params(self) -> Mapping[str, Any]:
        if isinstance(self.params, str | Path):
            told: dict[str, Any] = yaml.safe_load(Path(self.params).read_text())
            return told
        return self.params or {}

    def catch_up(self) -> None:
        """Send what waits."""
        if not self._waiting:
            return
        from mlflow.entities import Metric

        if self.run_id is None:
            self._begin()
        began = time.monotonic()
        with self._asking() as client:
            metrics = [Metric(tag, value, when, step) for tag, value, step, when in self._waiting]
            for some in in_parts(metrics, MOST_METRICS):
                client.log_batch(self.run_id, metrics=some)
        self._waiting = []
        now = time.monotonic()
        self._due = now + (now - began) / SHARE

    @contextmanager
    def _asking(self) -> Iterator[Any]:
        from mlflow import MlflowClient
        from mlflow.exceptions import MlflowException

        try:
            if self._connected is None:
                self._connected = MlflowClient(self.tracking_uri)
            yield self._connected
        except MlflowException as error:
            if error.error_code == "INTERNAL_ERROR":  # such as a server that is gone
                self._has_begun = False  # nor is it asked at the end: it takes minutes to say no
            where = self.tracking_uri or "as it is set up"
            reason = str(error).splitlines()[0]
            raise DataError(f"MLflow, {where}, did not take the run ({reason})") from error


def allowed(tag: str) -> str:
    """The tag in the letters that MLflow takes.

    >>> allowed("val[red]/top-1")
    'val_red_/top-1'
    """
    return re.sub(r"[^\w\-. :/]", "_", tag)


def flat(params: Mapping[str, Any], above: str = "") -> dict[str, str]:
    """The values as texts, under keys joined with dots.

    >>> flat({"seed": 0, "optimizer": {"lr": 0.1, "betas": [0.9, 0.99]}})
    {'seed': '0', 'optimizer.lr': '0.1', 'optimizer.betas': '[0.9, 0.99]'}
    """
    texts: dict[str, str] = {}
    for key, value in params.items():
        path = f"{above}{key}"
        if isinstance(value, Mapping) and value:
            texts |= flat(value, f"{path}.")
        else:
            texts[allowed(path)] = str(value)[:LONGEST_PARAM]
    return texts


def in_parts(items: Sequence[Item], most: int) -> Iterator[Sequence[Item]]:
    """The items, at most so many at once.

    >>> list(in_parts([1, 2, 3], most=2))
    [[1, 2], [3]]
    """
    for first in range(0, len(items), most):
        yield items[first : first + most]
