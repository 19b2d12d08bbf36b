"""Weight files: of the trained model, and of the best epoch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, Protocol

import torch
from torch import nn

from legoloop.core.atomic_files import atomic_write
from legoloop.core.buffer_snapshot import own_expanded_buffers
from legoloop.core.compiled_names import with_plain_names
from legoloop.core.errors import DataError, MissingExtraError
from legoloop.core.evaluated_weights import evaluated_weights, use_evaluated_weights
from legoloop.core.monitor import Monitor, as_list, is_improvement, is_maximized
from legoloop.core.protocols import ScalarSource
from legoloop.core.ranks import current_ranks
from legoloop.core.shards import load_whole, whole
from legoloop.loop.plugin import State

Weights = dict[str, Any]

SAFETENSORS = ".safetensors"


class HasModel(Protocol):
    """A plugin with a model of its own, such as an ExponentialMovingAverage."""

    @property
    def model(self) -> nn.Module:
        """Of the same architecture as the one that is trained."""
        ...


class SaveModelWeights:
    """At the end of the training, writes the model's state dict, on the CPU, to a file.

    The names are those of a model that torch.compile does not wrap.

    Read it back with ``model.load_state_dict(torch.load(path))``; for a ``.safetensors`` use
    ``safetensors.torch.load_file(path)`` in place of ``torch.load``.

    Args:
        model: the model whose weights are written.
        path: the file. The suffix ``.safetensors`` selects that format, which needs the extra
            ``safetensors``; with any other suffix, or none, ``torch.save`` is used.

    Raises:
        MissingExtraError: for ``.safetensors`` without the package.
        DataError: for ``.safetensors``, if the state dict holds anything but tensors.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "weights"
    >>> SaveModelWeights(nn.Linear(1, 1), path).train_end()
    >>> sorted(torch.load(path))
    ['bias', 'weight']
    """

    def __init__(self, model: nn.Module, path: str | Path) -> None:
        self.model = model
        self.path = checked_path(path)

    def train_end(self) -> None:
        weights = _whole_weights(self.model)
        if current_ranks().is_writer:
            for name, value in weights.items():
                if isinstance(value, torch.Tensor):
                    weights[name] = value.cpu()
            write_weights(weights, self.path)


class BestModelWeights:
    """Whenever a metric is the best so far, writes the model's state dict to a file.

    The metric is read after each epoch, and when it is evaluated within one. Of equally good values
    the first counts. The best weights are also kept in memory and in
    checkpoints, so a resumed run replaces a file that a killed attempt wrote after its last
    checkpoint.

    Args:
        model: the model whose weights are written.
        path: the file; its suffix selects the format, as for SaveModelWeights.
        sources: one or several plugins with ``scalars()``.
        metric: tag of the scalar that is compared.
        mode: ``min`` or ``max`` is better; None: known for the metrics that ship.
        restore: load the best weights into the model at the end, so that the final evaluation,
            predictions and weights are the best ones.
        average: the plugin whose averaged model is evaluated, if there is one; the best weights
            are then those of that model.

    Raises:
        ArgumentError: if the direction of ``metric`` is unknown and ``mode`` is None, or, after an
            epoch, if no source reports it.
        MissingExtraError: for ``.safetensors`` without the package.

    >>> import tempfile
    >>> class Told:
    ...     def scalars(self): return {"val/accuracy": 0.5}
    >>> path = Path(tempfile.mkdtemp()) / "weights_best"
    >>> BestModelWeights(nn.Linear(1, 1), path, Told(), metric="val/accuracy").epoch_end()
    >>> sorted(torch.load(path))
    ['bias', 'weight']
    """

    def __init__(
        self,
        model: nn.Module,
        path: str | Path,
        sources: ScalarSource | Iterable[ScalarSource],
        metric: str,
        mode: Literal["min", "max"] | None = None,
        restore: bool = False,
        average: HasModel | None = None,
    ) -> None:
        self.model = model
        self.average = average
        self.path = checked_path(path)
        self.sources = as_list(sources)
        self.monitor = Monitor(self.sources, metric, "the best weights")
        self.metric = metric
        self.higher_is_better = is_maximized(metric, mode)
        self.restore = restore
        self.best: float | None = None
        self.weights: Weights | None = None

    def train_start(self) -> None:
        """Restore the file of the loaded state."""
        if self.weights is not None and current_ranks().is_writer:
            write_weights(self.weights, self.path)

    def within_epoch(self) -> None:
        self._keep_if_best(self.monitor.within_epoch())

    def epoch_end(self) -> None:
        self._keep_if_best(self.monitor.after_epoch())

    def _keep_if_best(self, value: float | None) -> None:
        if value is not None and is_improvement(value, self.best, self.higher_is_better):
            measured = self.average.model if self.average else self.model
            self.best, self.weights = value, _cpu_copy(measured)
            if current_ranks().is_writer:
                write_weights(self.weights, self.path)

    def train(self) -> None:
        """Load the best weights into the model, if ``restore`` is set."""
        if self.restore and self.weights is not None:
            for model in (self.model, self.average.model) if self.average else (self.model,):
                own_expanded_buffers(model)
                use_evaluated_weights(model)
                load_whole(model, self.weights)

    def state_dict(self) -> State:
        return {"best": self.best, "weights": self.weights, "of": self._of}

    def load_state_dict(self, state: State) -> None:
        """Load the best weights, unless they are those by another metric."""
        if state.get("of", self._of) == self._of:
            self.best, self.weights = state["best"], state["weights"]

    @property
    def _of(self) -> list[Any]:
        """What makes weights the best."""
        return [self.metric, self.higher_is_better, self.average is not None]


def _whole_weights(model: nn.Module) -> Weights:
    weights: Weights = with_plain_names(whole(model.state_dict()))  # type: ignore[assignment]
    return weights


def _cpu_copy(model: nn.Module) -> Weights:
    """A copy of the state dict, on the CPU."""
    with evaluated_weights(model):
        weights = _whole_weights(model)
        for name, value in weights.items():
            if isinstance(value, torch.Tensor):
                weights[name] = value.detach().to("cpu", copy=True)
    return weights


def checked_path(path: str | Path) -> Path:
    """The path, if the format that its suffix selects can be written.

    Raises MissingExtraError for ``.safetensors`` without the package.

    >>> checked_path("weights").name
    'weights'
    """
    path = Path(path)
    _check_package(path, "writing")
    return path


def write_weights(weights: Weights, path: Path) -> None:
    """Write a state dict that is on the CPU, in the format that the path's suffix selects.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "weights.pt"
    >>> write_weights({"bias": torch.zeros(1)}, path)
    >>> torch.load(path)
    {'bias': tensor([0.])}
    """
    content = _safetensors(weights, path) if path.suffix == SAFETENSORS else None
    with atomic_write(path) as temporary, temporary.open("wb") as file:
        if content is None:
            # To a file object: given a path, torch would store its name in the file.
            torch.save(weights, file)
        else:
            file.write(content)


def read_weights(path: Path) -> Any:
    """The content of a weight file, on the CPU, read without unpickling arbitrary objects.

    Raises MissingExtraError for a ``.safetensors`` without the package.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "weights"
    >>> write_weights({"bias": torch.zeros(1)}, path)
    >>> read_weights(path)
    {'bias': tensor([0.])}
    """
    _check_package(path, "reading")
    if path.suffix == SAFETENSORS:
        from safetensors.torch import load

        return load(path.read_bytes())
    with path.open("rb") as file:
        return torch.load(file, map_location="cpu", weights_only=True)


def _check_package(path: Path, action: str) -> None:
    if path.suffix == SAFETENSORS and find_spec("safetensors") is None:
        raise MissingExtraError.of(f"{action} {path.name}", "safetensors", "safetensors")


def _safetensors(weights: Weights, path: Path) -> bytes:
    from safetensors.torch import save

    others = [name for name, value in weights.items() if not isinstance(value, torch.Tensor)]
    if others:
        raise DataError(
            f"{path.name} can hold tensors only, but '{others[0]}' is a "
            f"{type(weights[others[0]]).__name__}; give a path that ends in .pt"
        )
    content: bytes = save(dict(_unshared(weights)))
    return content


def _unshared(weights: Weights) -> Iterator[tuple[str, torch.Tensor]]:
    """The tensors; those that share memory, as tied weights do, are copied."""
    seen: set[int] = set()
    for name, value in weights.items():
        memory = value.untyped_storage().data_ptr()
        yield name, value.clone().contiguous() if memory in seen else value.contiguous()
        seen.add(memory)
