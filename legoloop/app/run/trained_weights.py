"""The weights that a run kept: which there are, and a model that is given them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from legoloop.app.config.blueprint import Blueprint
from legoloop.core.buffer_snapshot import own_expanded_buffers
from legoloop.core.compiled_names import with_names_of, with_plain_names
from legoloop.core.errors import ConfigError, DataError
from legoloop.core.run_directory import BEST_WEIGHTS, CHECKPOINTS, WEIGHTS
from legoloop.core.text import shorten
from legoloop.output.weights import BestModelWeights, SaveModelWeights, read_weights
from legoloop.state.checkpoints import checkpoints_in, is_checkpoint, read_checkpoint
from legoloop.state.run_record import read_record

LAST, BEST = "last", "best"
WRITERS: Mapping[str, tuple[type, str]] = {
    LAST: (SaveModelWeights, WEIGHTS),
    BEST: (BestModelWeights, BEST_WEIGHTS),
}
"""The plugin that writes the weights of a name, and where it does unless told otherwise."""
WRITTEN_BY = {
    LAST: "they are written when a run completes",
    BEST: "plugins=[default,checkpoints,best_weights] keeps them",
}


def find_weights(run: Path, blueprint: Blueprint, which: str | Path = LAST) -> Path:
    """A file of weights, or a checkpoint, of a run that may have been moved.

    Args:
        run: where the run is by now.
        blueprint: of the run, as it was recorded.
        which: ``last``: those that the run ended with; ``best``: those of its best epoch; or the
            path of a file of weights or of a checkpoint, which may begin in the run.

    Raises ConfigError if there are none, naming those that there are.
    """
    there = dict(_kept(run, blueprint))
    if which in there:
        return there[str(which)]
    for path in () if which in WRITERS else (Path(which), run / which):
        if os.path.isfile(path) or is_checkpoint(path):
            return path
    wrong = f"holds no weights{_status(run)}; {WRITTEN_BY[LAST]}"
    if which == BEST:
        wrong = f"holds no weights of the best epoch; {WRITTEN_BY[BEST]}"
    elif which != LAST:
        wrong = f"there are no weights '{which}'"
    names = [*there, *(f"{CHECKPOINTS}/{each.name}" for each in checkpoints_in(run / CHECKPOINTS))]
    raise ConfigError(
        f"{run}: {wrong}", remedy=f"what there is: {shorten(names)}" if names else None
    )


def load_weights(model: nn.Module, place: Path) -> None:
    """Give a model the weights of a file or a checkpoint, which is read without pickle.

    Of a checkpoint of a run that averaged its weights it is the average, as in ``weights``.

    Raises DataError for a file that holds none, ConfigError for weights of another model.

    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp()) / "weights"
    >>> torch.save(nn.Linear(2, 1).state_dict(), file)
    >>> load_weights(nn.Linear(2, 1), file)
    >>> load_weights(nn.Linear(3, 1), file)  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    legoloop.core.errors.ConfigError: ...: weight is (1, 2) in the file and (1, 3) in the model
    """
    saved = _of_checkpoint(place, model) if place.is_dir() else _of_file(place)
    own_expanded_buffers(model)
    saved = with_names_of(model.state_dict(), saved)
    try:
        model.load_state_dict(saved)
    except RuntimeError as error:
        differ = list(_differences(saved, model.state_dict())) or [str(error).splitlines()[0]]
        raise ConfigError(
            f"{place}: these are not the weights of this model: {shorten(differ, 3, '; ')}"
        ) from error


def _kept(run: Path, blueprint: Blueprint) -> Iterator[tuple[str, Path]]:
    """The files that are there by name, found from where the run is by now."""
    recorded_dir = Path(blueprint.settings.run_dir)
    for name, (writer, usual) in WRITERS.items():
        recorded = _written_to(blueprint, writer) or recorded_dir / usual
        within = recorded.is_relative_to(recorded_dir)
        file = run / recorded.relative_to(recorded_dir) if within else recorded
        if file.is_file():
            yield name, file


def _written_to(blueprint: Blueprint, writer: type) -> Path | None:
    """The path that the configuration gives to a writer, first of all to one of ``model``."""
    calls = [blueprint.components[name] for name in blueprint.named(writer)]
    calls.sort(key=lambda call: call.dependencies.get("model") != "model")
    return next((Path(call.values["path"]) for call in calls if "path" in call.values), None)


def _status(run: Path) -> str:
    try:
        return f"; its status is {read_record(run)['status']}"
    except (OSError, ValueError, KeyError):
        return ""


def _of_file(file: Path) -> Mapping[str, Any]:
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
    return saved


def _of_checkpoint(folder: Path, model: nn.Module) -> Mapping[str, Any]:
    """The state of the plugin that trains, or averages, a model with these names."""
    states = read_checkpoint(folder).get("plugins")
    found = [
        state
        for state in (states.values() if isinstance(states, Mapping) else ())
        if isinstance(state, Mapping) and isinstance(state.get("model"), Mapping)
    ]
    found.sort(key=lambda state: not state.get("has_steps", False))  # an average has it
    names = with_plain_names(model.state_dict()).keys()
    # Beside what a schedule-free optimizer trains there is what is meant to be used.
    weights: Sequence[Mapping[str, Any]] = [
        state.get("evaluated_model", state["model"]) for state in found
    ]
    fitting = next((each for each in weights if with_plain_names(each).keys() == names), None)
    if fitting is None and not weights:
        raise ConfigError(f"{folder}: this checkpoint holds the weights of no model")
    return weights[0] if fitting is None else fitting


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
