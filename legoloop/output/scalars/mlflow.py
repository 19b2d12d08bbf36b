"""Scalars for an MLflow tracking server."""

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
from legoloop.core.flatten import flatten_config
from legoloop.core.protocols import Scalars, ScalarSource, TrainingProgress
from legoloop.loop.plugin import State
from legoloop.output.scalars.scalar_writer import ScalarWriter
from legoloop.output.scalars.throttle import Throttle

log = logging.getLogger("legoloop")

Item = TypeVar("Item")

MAX_SEND_FRACTION = 0.05
"""The share of a run's time that may go into sending before the end."""

MAX_METRICS, MAX_PARAMS, MAX_PARAM_LENGTH = 1000, 100, 6000
"""What MLflow accepts in one request: metrics, parameters, characters of a parameter."""


class MlflowLogger(ScalarWriter):
    """Writes scalars to a run of an MLflow tracking server.

    Reports that follow each other quickly are sent together; at a checkpoint and at the end all are
    sent. A resumed run continues the same MLflow run. MLflow cannot delete metrics: those that a
    killed attempt sent after its last checkpoint stay, and are not sent again.

    Args:
        counter: tells the step.
        sources: one or several plugins with ``scalars()``.
        tracking_uri: of the server, or a database such as ``sqlite:///mlflow.db``; None: as MLflow
            is configured.
        experiment: name of the MLflow experiment, which is created if it does not exist.
        run_name: None: MLflow chooses one.
        params: parameters of the run: a dict, or a YAML file that is there when the training
            starts; nested keys are joined with dots.
        artifacts: files and folders to upload once the training has ended.
        every_steps: also write after every so many steps; None: only at the end of epochs.

    Raises:
        MissingExtraError: if the package mlflow is not installed.
        DataError: if the server does not accept the run, or two sources report the same tag.

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
        self._client: Any = None
        self._already_sent: set[tuple[str, int]] = set()  # by a killed attempt: tag, step
        self._waiting: list[tuple[str, float, int, int]] = []  # tag, value, step, when
        self._throttle = Throttle(MAX_SEND_FRACTION)
        self._has_begun = self._has_ended = False

    def train_start(self) -> None:
        super().train_start()
        if self.run_id is None:
            self._create_run()
            return
        with self._reporting_errors() as client:
            client.update_run(self.run_id, status="RUNNING")
        self._has_begun = True

    def restore(self) -> None:
        """Ask for the metrics that the server has already."""
        if self.run_id is None:
            return
        with self._reporting_errors() as client:
            for tag in client.get_run(self.run_id).data.metrics:
                history = client.get_metric_history(self.run_id, tag)
                self._already_sent.update((tag, metric.step) for metric in history)

    def write(self, step: int, scalars: Scalars) -> None:
        """Send the scalars that the server does not have, if sending is due, else later."""
        when = int(time.time() * 1000)
        new = [(allowed(tag), value, step, when) for tag, value in scalars.items()]
        self._waiting += [metric for metric in new if (metric[0], step) not in self._already_sent]
        if self._throttle.is_due():
            self.flush()

    def train_end(self) -> None:
        super().train_end()
        self._has_ended = True

    def close(self) -> None:
        """Upload the artifacts, which other plugins have written by now, and end the run."""
        if not self._has_begun:
            return
        self._has_begun = False
        try:
            self.flush()
            with self._reporting_errors() as client:
                for artifact in self.artifacts if self._has_ended else ():
                    if artifact.is_dir():
                        client.log_artifacts(self.run_id, str(artifact), artifact.name)
                    elif artifact.exists():
                        client.log_artifact(self.run_id, str(artifact))
                client.set_terminated(self.run_id, "FINISHED" if self._has_ended else "KILLED")
        except DataError as error:  # a run that failed has an error of its own
            if self._has_ended:
                raise
            log.warning("%s", error)

    def state_dict(self) -> State:
        return {**super().state_dict(), "run_id": self.run_id}

    def load_state_dict(self, state: State) -> None:
        super().load_state_dict(state)
        self.run_id = state["run_id"]

    def _create_run(self) -> None:
        from mlflow.entities import Param

        with self._reporting_errors() as client:
            run = client.create_run(self._experiment_id(client), run_name=self.run_name)
            self.run_id = run.info.run_id
            params = [Param(key, value) for key, value in as_params(self._read_params()).items()]
            for chunk in batched(params, MAX_PARAMS):
                client.log_batch(self.run_id, params=chunk)
        self._has_begun = True

    def _experiment_id(self, client: Any) -> str:
        from mlflow.exceptions import MlflowException

        if (found := client.get_experiment_by_name(self.experiment)) is None:
            try:
                created: str = client.create_experiment(self.experiment)
                return created
            except MlflowException:  # another job of a sweep may have created it meanwhile
                if (found := client.get_experiment_by_name(self.experiment)) is None:
                    raise
        experiment_id: str = found.experiment_id
        return experiment_id

    def _read_params(self) -> Mapping[str, Any]:
        if isinstance(self.params, str | Path):
            params: dict[str, Any] = yaml.safe_load(Path(self.params).read_text())
            return params
        return self.params or {}

    def flush(self) -> None:
        """Send all metrics that are waiting."""
        if not self._waiting:
            return
        from mlflow.entities import Metric

        if self.run_id is None:
            self._create_run()
        with self._throttle.timed(), self._reporting_errors() as client:
            metrics = [Metric(tag, value, when, step) for tag, value, step, when in self._waiting]
            for chunk in batched(metrics, MAX_METRICS):
                client.log_batch(self.run_id, metrics=chunk)
        self._waiting = []

    @contextmanager
    def _reporting_errors(self) -> Iterator[Any]:
        """Lend the client; its errors become DataErrors."""
        from mlflow import MlflowClient
        from mlflow.exceptions import MlflowException

        try:
            if self._client is None:
                self._client = MlflowClient(self.tracking_uri)
            yield self._client
        except MlflowException as error:
            if error.error_code == "INTERNAL_ERROR":  # such as a server that is gone
                self._has_begun = False  # not contacted at the end again: it retries for minutes
            where = self.tracking_uri or "the configured server"
            reason = str(error).splitlines()[0]
            raise DataError(f"MLflow ({where}) did not accept the run ({reason})") from error


def allowed(tag: str) -> str:
    """The tag with characters that MLflow does not accept replaced.

    >>> allowed("val[red]/top-1")
    'val_red_/top-1'
    """
    return re.sub(r"[^\w\-. :/]", "_", tag)


def as_params(tree: Mapping[str, Any]) -> dict[str, str]:
    """The values as strings, under keys joined with dots.

    >>> as_params({"seed": 0, "optimizer": {"lr": 0.1, "betas": [0.9, 0.99]}})
    {'seed': '0', 'optimizer.lr': '0.1', 'optimizer.betas': '[0.9, 0.99]'}
    """
    return {allowed(key): str(value)[:MAX_PARAM_LENGTH] for key, value in flatten_config(tree)}


def batched(items: Sequence[Item], size: int) -> Iterator[Sequence[Item]]:
    """The items in chunks of ``size``, the last one shorter.

    >>> list(batched([1, 2, 3], size=2))
    [[1, 2], [3]]
    """
    for first in range(0, len(items), size):
        yield items[first : first + size]
