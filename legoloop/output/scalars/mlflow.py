"""Scalars for an MLflow tracking server."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar

from legoloop.core.errors import MissingExtraError
from legoloop.core.flatten import flatten_config
from legoloop.core.protocols import ScalarSource, TrainingProgress
from legoloop.core.variation import Variation
from legoloop.output.scalars.remote_logger import AboutRun, RemoteLogger, Report

Item = TypeVar("Item")

MAX_METRICS, MAX_PARAMS, MAX_PARAM_LENGTH = 1000, 100, 6000
"""What MLflow accepts in one request: metrics, parameters, characters of a parameter."""


class MlflowLogger(RemoteLogger):
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
        run_name: None: the name of the run directory and what varied; without one, MLflow's choice.
        params: parameters of the run: a dict, or a YAML file that is there when the training
            starts; nested keys are joined with dots.
        artifacts: files and folders to upload once the training has ended.
        every_steps: also write after every so many steps; None: only at the end of epochs.
        group: the value of the run's tag ``group``; None: the folder of the sweep, if there is one.
        tags: further tags of the run, with the value ``true``.
        notes: the description of the run.
        run_dir: the run directory: a state that was saved in another begins an MLflow run of its
            own.
        variation: what varied, for the name and the group.

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
        group: str | None = None,
        tags: list[str] | tuple[str, ...] = (),
        notes: str | None = None,
        run_dir: str | Path | None = None,
        variation: Variation | None = None,
    ) -> None:
        about = AboutRun.of(run_name, group, tags, notes, params, run_dir, variation)
        super().__init__(counter, sources, about, artifacts, every_steps)
        if find_spec("mlflow") is None:
            raise MissingExtraError.of("MlflowLogger", "mlflow", "mlflow")
        self.tracking_uri = tracking_uri
        self.experiment = experiment
        self._there: set[tuple[str, int]] = set()  # tag and step of an earlier attempt

    @property
    def _client(self) -> Any:
        return self._connection.client

    @property
    def place(self) -> str:
        return f"MLflow ({self.tracking_uri or 'the configured server'})"

    def errors(self) -> tuple[type[Exception], ...]:
        from mlflow.exceptions import MlflowException

        return (MlflowException,)

    def is_gone(self, error: Exception) -> bool:
        code: str | None = getattr(error, "error_code", None)
        return code == "INTERNAL_ERROR"

    def begin(self, run_id: str | None) -> str:
        from mlflow import MlflowClient

        self._connection.client = MlflowClient(self.tracking_uri)
        if run_id is None:
            return self._create_run()
        self._client.update_run(run_id, status="RUNNING")
        for tag in self._client.get_run(run_id).data.metrics:
            history = self._client.get_metric_history(run_id, tag)
            self._there.update((tag, metric.step) for metric in history)
        return run_id

    def has(self, tag: str, step: int) -> bool:
        return (allowed(tag), step) in self._there

    def send(self, reports: Sequence[Report]) -> None:
        from mlflow.entities import Metric

        metrics = [
            Metric(allowed(tag), value, int(when * 1000), step)
            for step, when, scalars in reports
            for tag, value in scalars.items()
        ]
        for chunk in batched(metrics, MAX_METRICS):
            self._client.log_batch(self.run_id, metrics=chunk)

    def upload(self, artifact: Path) -> None:
        if artifact.is_dir():
            self._client.log_artifacts(self.run_id, str(artifact), artifact.name)
        else:
            self._client.log_artifact(self.run_id, str(artifact))

    def end(self, has_completed: bool) -> None:
        self._client.set_terminated(self.run_id, "FINISHED" if has_completed else "KILLED")

    def _create_run(self) -> str:
        from mlflow.entities import Param

        known = {"group": self.about.group, "mlflow.note.content": self.about.notes}
        run = self._client.create_run(
            self._experiment_id(),
            run_name=self.about.name,
            tags={
                **{allowed(tag): "true" for tag in self.about.tags},
                **{tag: value for tag, value in known.items() if value is not None},
            },
        )
        run_id: str = run.info.run_id
        params = [Param(*pair) for pair in as_params(self.about.read_params()).items()]
        for chunk in batched(params, MAX_PARAMS):
            self._client.log_batch(run_id, params=chunk)
        return run_id

    def _experiment_id(self) -> str:
        from mlflow.exceptions import MlflowException

        client = self._client
        if (found := client.get_experiment_by_name(self.experiment)) is None:
            try:
                created: str = client.create_experiment(self.experiment)
                return created
            except MlflowException:  # another job of a sweep may have created it meanwhile
                if (found := client.get_experiment_by_name(self.experiment)) is None:
                    raise
        experiment_id: str = found.experiment_id
        return experiment_id


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
