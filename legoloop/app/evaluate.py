"""The weights of a finished run, evaluated on any data."""

from __future__ import annotations

import copy
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

from omegaconf.errors import OmegaConfBaseException

from legoloop.app.config.blueprint import Blueprint
from legoloop.app.config.paths import overlaps
from legoloop.app.config.settings import COMMAND_LINE
from legoloop.app.hydra_bridge.job_config import blueprint_of_tree, to_plain
from legoloop.app.hydra_bridge.messages import as_config_error
from legoloop.app.hydra_bridge.recorded_config import apply_overrides, recorded_tree
from legoloop.app.hydra_bridge.tree_as_yaml import tree_as_yaml
from legoloop.app.run.trained_weights import LAST, find_weights, load_weights
from legoloop.app.wiring.make_app import validated_app
from legoloop.core.atomic_files import atomic_directory
from legoloop.core.errors import ConfigError
from legoloop.core.protocols import Scalars
from legoloop.core.run_directory import CONFIG, EVALUATION_METRICS, evaluation_directory
from legoloop.core.suggestions import did_you_mean
from legoloop.evaluation.acc_metrics import AccumulatorMetrics
from legoloop.evaluation.evaluator import LoadersAcc
from legoloop.output.predictions.csv_predictions import Predictions

T = TypeVar("T")


@dataclass(frozen=True)
class Evaluated:
    """What an evaluation found, and the folder that it was written to."""

    directory: Path
    scalars: Scalars


def evaluate(
    run: Path,
    overrides: Sequence[str] = (),
    on: Sequence[str] | None = None,
    output: Path | None = None,
    config_dir: Path | None = None,
    weights: str = LAST,
) -> Evaluated:
    """Measure the saved weights of a run as the run's end did, with overrides over its record.

    ``on`` names the data sets; None: those that the run's end measured, with the predictions of
    those that it predicted. Writes ``metrics.json``, predictions and ``config.yaml`` into a new
    folder, ``output`` or one under ``run/evaluations``; trains nothing, changes nothing else.
    ``weights``: ``last``, ``best``, or a file of weights or a checkpoint.

    Raises ConfigError for a run without weights, a mistake in the overrides, weights that do not
    fit the model, and an output that exists; DataError for data or weights that cannot be read.
    """
    tree = recorded_tree(run)
    directory = output or evaluation_directory(run)
    given = apply_overrides(tree, overrides, config_dir)
    if "run_dir" in given:
        raise ConfigError("run_dir: where an evaluation writes is said with --output")
    if os.path.lexists(directory):
        raise ConfigError(f"--output: {directory} exists already; choose another")
    try:
        file = find_weights(run, blueprint_of_tree(tree), weights)
        tree.run_dir = str(directory.absolute())
        evaluation = _evaluation(
            blueprint_of_tree(tree, origins=dict.fromkeys(given, COMMAND_LINE))
        )
    except (ConfigError, OmegaConfBaseException) as problem:
        error = as_config_error(problem)
        if error.key is None:
            raise error from problem
        is_set = any(overlaps(error.key, key) for key in given)
        raise error.located(where=COMMAND_LINE if is_set else str(run / CONFIG)) from problem
    load_weights(evaluation.model, file)
    scalars = evaluation.measured(on)
    with TemporaryDirectory() as temporary:  # so that a failure leaves nothing behind
        folder = Path(temporary)
        (folder / EVALUATION_METRICS).write_text(json.dumps(scalars, indent=2) + "\n")
        (folder / CONFIG).write_text(tree_as_yaml(to_plain(tree)))
        evaluation.predict(on, folder)
        _put(folder, directory)
    return Evaluated(directory, scalars)


@dataclass
class _Evaluation:
    """What an evaluation needs of an app."""

    model: Any
    metrics: list[AccumulatorMetrics]
    predictions: list[Predictions]

    def measured(self, on: Sequence[str] | None) -> Scalars:
        """The scalars of these data sets, computed as at the end of a run."""
        known = [name for metrics in self.metrics for name in metrics.acc_plugin.datasets]
        for name in on or ():
            if name not in known:
                raise ConfigError(
                    f"--on: no data set '{name}' is evaluated; {did_you_mean(name, known)}"
                )
        found: Scalars = {}
        for metrics in self.metrics:
            acc: Any = metrics.acc_plugin
            if on is not None:
                acc.datasets = tuple(name for name in dict.fromkeys(on) if name in acc.datasets)
            metrics.compute()
            found.update(metrics.scalars())
        return found

    def predict(self, on: Sequence[str] | None, folder: Path) -> None:
        """One file for each writer and data set, written as the run writes its own."""
        for predictions in self.predictions:
            own = predictions.acc_key
            for name in on or (own,):
                writer = copy.copy(predictions)
                writer.acc_key = name
                suffix = "" if name == own else f"_{name}"
                writer.path = _beside(folder, predictions.path, suffix)
                if predictions.targets is not None:
                    writer.targets = _beside(folder, predictions.targets, suffix)
                writer.write_files()


def _beside(folder: Path, file: Path, suffix: str) -> Path:
    return folder / f"{file.stem}{suffix}{file.suffix}"


def _evaluation(blueprint: Blueprint) -> _Evaluation:
    app, _ = validated_app(blueprint)
    if blueprint.settings.app is not None:  # what the run was fed stands, not the container's own
        app.config.from_dict(blueprint.tree)
    metrics = [
        each for each in _built(app, blueprint, AccumulatorMetrics) if _is_final(each.acc_plugin)
    ]
    if "model" not in app.providers or not metrics:
        raise ConfigError(
            "there is no model, or no AccumulatorMetrics of a LoadersAcc; an evaluation needs both",
            key="app" if blueprint.settings.app is not None else "plugins",
        )
    evaluated = [each.acc_plugin for each in metrics]
    predictions = [
        each for each in _built(app, blueprint, Predictions) if each.acc_plugin in evaluated
    ]
    return _Evaluation(app.model(), metrics, predictions)


def _is_final(evaluation: Any) -> bool:
    """Whether an evaluation is that of a run's end: every sample once, or taken there."""
    return isinstance(evaluation, LoadersAcc) or evaluation.when == "train_end"


def _built(app: Any, blueprint: Blueprint, kind: type[T]) -> Iterator[T]:
    """The plugins of a class, by whatever name they have; a container of the user's has its own."""
    if blueprint.settings.app is None:
        yield from (app.providers[name]() for name in blueprint.named(kind))
        return
    for provider in app.providers.values():
        made = getattr(provider, "provides", None)
        if isinstance(made, type) and issubclass(made, kind):
            yield provider()


def _put(folder: Path, directory: Path) -> None:
    try:
        with atomic_directory(directory) as draft:
            shutil.copytree(folder, draft, dirs_exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"--output: {directory} cannot be made ({error.strerror}); choose another"
        ) from error
