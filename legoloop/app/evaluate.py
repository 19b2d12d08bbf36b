"""The weights of a finished run, evaluated on any data."""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from torch import nn
from torch.nn.parameter import is_lazy

from legoloop.app.config.nodes import NodeError
from legoloop.app.config.trees import overlaps, plain
from legoloop.app.hydra_bridge.messages import told
from legoloop.app.hydra_bridge.recorded_config import apply_overrides, recorded_tree
from legoloop.app.wiring.make_app import validated_app
from legoloop.core.atomic_files import atomic_directory
from legoloop.core.errors import ConfigError, DataError
from legoloop.core.protocols import Scalars
from legoloop.core.suggestions import did_you_mean
from legoloop.output.weights import read_weights
from legoloop.state.run_record import read_record

WEIGHTS = "weights"
NEEDED = ("model", "loaders_acc", "loaders_metrics")


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
) -> Evaluated:
    """Measure the saved weights of a run as the run's end did, with overrides over its record.

    ``on`` names the data sets; None: those that the run's end measured, with the predictions of
    those that it predicted. Writes ``metrics.json``, predictions and ``config.yaml`` into a new
    folder, ``output`` or one under ``run/evaluations``; trains nothing, changes nothing else.

    Raises ConfigError for a run without weights, a mistake in the overrides, weights that do not
    fit the model, and an output that exists; DataError for data or weights that cannot be read.
    """
    tree = recorded_tree(run)
    weights = _weights_of(run, tree)
    directory = output or run / "evaluations" / f"{datetime.now():%Y-%m-%d_%H-%M-%S-%f}"
    tree.run_dir = str(directory.absolute())
    given = apply_overrides(tree, overrides, config_dir)
    if "run_dir" in given:
        raise ConfigError("run_dir: where an evaluation writes is said with --output")
    if directory.exists():
        raise ConfigError(f"--output: {directory} exists already; choose another")
    try:
        parts = _parts(tree, given)
    except NodeError as error:
        is_set = any(overlaps(error.key, key) for key in given)
        place = "command line" if is_set else run / "config.yaml"
        raise ConfigError(f"{error.key} ({place}): {error.message}") from error
    except OmegaConfBaseException as error:
        raise ConfigError(told(error)) from error
    load_weights(parts.model, weights)
    scalars = parts.measured(on)
    with TemporaryDirectory() as temporary:  # so that a failure leaves nothing behind
        folder = Path(temporary)
        (folder / "metrics.json").write_text(json.dumps(scalars, indent=2) + "\n")
        OmegaConf.save(OmegaConf.create(plain(tree)), folder / "config.yaml")
        parts.predict(on, folder)
        _put(folder, directory)
    return Evaluated(directory, scalars)


@dataclass
class _Parts:
    """What an evaluation asks an app for."""

    model: Any
    loaders_acc: Any
    loaders_metrics: Any
    predicts: Any = None

    def measured(self, on: Sequence[str] | None) -> Scalars:
        """The scalars of these data sets, taken as at the end of a run."""
        acc = self.loaders_acc
        for name in on or ():
            if name not in acc.datasets:
                right = did_you_mean(name, acc.datasets)
                raise ConfigError(f"--on: no data set '{name}' is evaluated; {right}")
        if on is not None:
            acc.datasets = tuple(dict.fromkeys(on))
        getattr(self.loaders_metrics, acc.when)()
        return dict(self.loaders_metrics.scalars())

    def predict(self, on: Sequence[str] | None, folder: Path) -> None:
        """One file for each data set, written as the run writes its own."""
        if self.predicts is None:
            return
        own = self.predicts.acc_key
        for name in on or (own,):
            writer = copy.copy(self.predicts)
            writer.acc_key = name
            stem = "predicts" if name == own else f"predicts_{name}"
            writer.path = folder / f"{stem}{self.predicts.path.suffix}"
            writer.train_end()


def load_weights(model: nn.Module, file: Path) -> None:
    """Give a model the weights of a file, which is read without pickle.

    Raises DataError for a file that holds none, ConfigError for weights of another model.

    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp()) / "weights"
    >>> torch.save(nn.Linear(2, 1).state_dict(), file)
    >>> load_weights(nn.Linear(2, 1), file)
    >>> load_weights(nn.Linear(3, 1), file)  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    legoloop.core.errors.ConfigError: ...: weight is (1, 2) in the file and (1, 3) in the model
    """
    try:
        saved = read_weights(file)
    except ConfigError:
        raise
    except Exception as error:
        raise DataError(
            f"{file}: holds no weights that can be read ({type(error).__name__}); is it damaged?"
        ) from error
    if not isinstance(saved, Mapping):
        raise DataError(f"{file}: holds a {type(saved).__name__}; weights are a state dict")
    try:
        model.load_state_dict(saved)
    except RuntimeError as error:
        told = list(_differences(saved, model.state_dict())) or [str(error).splitlines()[0]]
        more = f"; and {len(told) - 3} more" if len(told) > 3 else ""
        raise ConfigError(
            f"{file}: these are not the weights of this model: {'; '.join(told[:3])}{more}"
        ) from error


def _differences(saved: Mapping[str, Any], own: Mapping[str, Any]) -> Iterator[str]:
    for name in own:
        if name not in saved:
            yield f"{name} is not in the file"
        elif (there := _shape(saved[name])) != (here := _shape(own[name])):
            yield f"{name} is {there} in the file and {here} in the model"
    for name in saved:
        if name not in own:
            yield f"{name} is not in the model"


def _shape(value: Any) -> tuple[int, ...] | None:
    return tuple(value.shape) if isinstance(value, torch.Tensor) and not is_lazy(value) else None


def _weights_of(run: Path, tree: DictConfig) -> Path:
    """Where the run put them by its record, told from where it is by now."""
    recorded = Path(OmegaConf.select(tree, "plugins.model_weights.path") or run / WEIGHTS)
    within = recorded.is_relative_to(tree.run_dir)
    file = run / recorded.relative_to(tree.run_dir) if within else recorded
    if file.is_file():
        return file
    try:
        status = f"; its status is {read_record(run)['status']}"
    except (OSError, ValueError, KeyError):
        status = ""
    raise ConfigError(f"{run}: holds no weights{status}; they are written when a run completes")


def _parts(tree: DictConfig, given: Sequence[str]) -> _Parts:
    app, _ = validated_app(tree, given)
    is_own = tree.get("app") is not None
    if is_own:  # what the run was fed stands, whatever the container says by now
        app.config.from_dict(plain(tree))
    for name in NEEDED:
        if name not in app.providers:
            key = "app" if is_own else "plugins"
            raise NodeError(
                key, f"there is no '{name}'; an evaluation asks for {', '.join(NEEDED)}"
            )
    found = (name for name in (*NEEDED, "predicts") if name in app.providers)
    return _Parts(**{name: app.providers[name]() for name in found})


def _put(folder: Path, directory: Path) -> None:
    try:
        with atomic_directory(directory) as draft:
            shutil.copytree(folder, draft, dirs_exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"--output: {directory} cannot be made ({error.strerror}); choose another"
        ) from error
