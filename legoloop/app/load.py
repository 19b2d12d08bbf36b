"""``load()``: the trained model of a run, built again from its record."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch
from dependency_injector import providers
from omegaconf.errors import OmegaConfBaseException
from torch import nn

from legoloop.app.config.blueprint import Blueprint
from legoloop.app.hydra_bridge.job_config import blueprint_of_tree, to_plain
from legoloop.app.hydra_bridge.messages import as_config_error
from legoloop.app.hydra_bridge.recorded_config import recorded_tree
from legoloop.app.run.built_with import BuiltWith, importing_from, where_now
from legoloop.app.run.trained_weights import LAST, find_weights, load_weights
from legoloop.app.wiring.container import find_device
from legoloop.app.wiring.make_app import validated_app
from legoloop.core.errors import ConfigError
from legoloop.core.rng import preserved_seed
from legoloop.core.run_directory import CONFIG, evaluation_directory
from legoloop.state.run_record import read_record


def load(
    run: str | Path, weights: str | Path = LAST, device: str | torch.device = "cpu"
) -> nn.Module:
    """The trained model of a run, in evaluation mode.

    It is built from the record of the run, with the bricks of the folder that the run was started
    in, whatever the current folder is; its data need not be there. The configuration decides what
    is imported and called, so load only runs that you trust; weights are read without pickle.

    The attribute ``app`` of the model is the app behind it, with this model in it: ``feed``,
    ``data``, ``metrics`` and all other components, built when they are asked for. What they write
    goes to a new folder under ``RUN/evaluations``. A copy of the model, and what is pickled, has
    it too; a model with an attribute ``app`` of its own keeps that.

    Args:
        run (str | Path): the directory of a run, wherever it was moved.
        weights (str | Path): ``last``: those that the run ended with; ``best``: those of the best
            epoch, as ``plugins.best_weights`` keeps them; or a file of weights or a checkpoint,
            such as ``checkpoints/120``, which is looked for in the current folder and in the run.
        device (str | torch.device): where the model goes; ``auto``: a GPU if there is one.

    Raises:
        ConfigError: for a folder without a run, a run without such weights, weights of another
            model, and a model that the record does not describe.
        DataError: for weights that cannot be read.

    >>> import tempfile
    >>> from legoloop.app.compose import compose
    >>> run = tempfile.mkdtemp() + "/run"
    >>> small = ["data=xor", "model=logistic", "num_epochs=1", "epoch_size=64", "loggers=[]"]
    >>> compose([*small, f"hydra.run.dir={run}"]).host().run()  # doctest: +ELLIPSIS
    run directory: ...
    >>> model = load(run)
    >>> model({"features": torch.zeros(3, 2)})["logits"].shape, model.training
    (torch.Size([3]), False)
    >>> sorted(model.app.data.datasets())
    ['train', 'val']
    """
    run = Path(os.path.abspath(run))
    place = find_device(str(device))
    app, file = _app_of(run, weights, str(device))
    with preserved_seed():
        try:
            model: nn.Module = app.model()
        except (OSError, ImportError) as error:
            if isinstance(error, ConfigError):
                raise
            raise ConfigError(f"{run}: its model cannot be built ({error})") from error
    load_weights(model, file)
    model.to(place).eval()
    app.model.override(providers.Object(model))
    if not hasattr(model, "app"):
        # Not through the module: what it holds is not its own.
        object.__setattr__(model, "app", AppOfRun(run, file, str(device), app))
    return model


class AppOfRun:
    """The app behind a loaded model.

    Where the model is copied or pickled, this stays the name of it: the app is made again by
    whoever asks for something in it.

    Args:
        run: the run directory.
        weights: as for ``load``.
        device: as for ``load``.
        app: the container; None: it is that of the run when something is asked of it.
    """

    def __init__(self, run: Path, weights: str | Path, device: str, app: Any = None) -> None:
        self._of = (run, weights, device)
        self._app = app

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if self._app is None:
            loaded: Any = load(*self._of)
            self._app = loaded.app._app
        return getattr(self._app, name)

    def __dir__(self) -> list[str]:
        return sorted({*object.__dir__(self), *(self._app.providers if self._app else ())})

    def __reduce__(self) -> Any:
        return AppOfRun, self._of

    def __repr__(self) -> str:
        return f"<the app of {self._of[0]}>"


def _app_of(run: Path, weights: str | Path, device: str) -> tuple[Any, Path]:
    """The app of a run, of which nothing is built yet, and where the weights are."""
    tree = recorded_tree(run)
    built_with = _built_with(run)
    folders = where_now(built_with.import_path, Path(tree.run_dir), run)
    try:
        with importing_from(folders, to_plain(tree)), preserved_seed():
            file = find_weights(run, blueprint_of_tree(tree), weights).absolute()
            tree.run_dir = str(evaluation_directory(run))
            tree.device = device
            blueprint = blueprint_of_tree(tree)
            app, _ = validated_app(blueprint, built_with.from_data)
    except (ConfigError, OmegaConfBaseException) as problem:
        error = as_config_error(problem)
        raise error.located(where=str(run / CONFIG)) if error.key else error from problem
    _check_is_recorded(run, app, blueprint, built_with, file)
    if blueprint.settings.app is not None:  # what the run was fed stands, not the container's own
        app.config.from_dict(blueprint.tree)
    app.host.override(providers.Callable(_refuse_to_train, run))
    return app, file


def _built_with(run: Path) -> BuiltWith:
    try:
        return BuiltWith.read(read_record(run))
    except FileNotFoundError:
        return BuiltWith()


def _check_is_recorded(
    run: Path, app: Any, blueprint: Blueprint, built_with: BuiltWith, file: Path
) -> None:
    """Raises ConfigError for a model that the configuration does not describe."""
    path = blueprint.settings.app
    if "model" not in app.providers and path is None:
        raise ConfigError(
            f"{run}: no plugin of it asks for 'model', so none was trained under that name",
            remedy=f"build what it trained, and load its weights from {run}",
        )
    if "model" not in app.providers:
        raise ConfigError(
            f"{run}: {path} has no provider 'model'",
            remedy=f"build the model as {path} does, and load_state_dict {file}",
        )
    made_by = blueprint.components.get("model")
    needed = {"model", *(made_by.dependencies.values() if made_by else ())}
    if replaced := sorted(needed & set(built_with.replaced)):
        raise ConfigError(
            f"{run}: its {replaced[0]} was put into the app by app.{replaced[0]}.override(…), "
            "which no record describes",
            remedy=f"build it as then, and load_state_dict {file}",
        )


def _refuse_to_train(run: Path) -> None:
    raise ConfigError(
        f"this is the app of a run that was loaded, {run}, and trains nothing",
        remedy=f"to train again: ll.compose(['rerun={run}'])",
    )
