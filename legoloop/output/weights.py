"""The weights of a run: those at its end, and the best."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, Protocol

import torch
from torch import nn

from legoloop.core.atomic_files import atomic_write
from legoloop.core.errors import DataError, MissingExtraError
from legoloop.core.monitor import as_list, is_improvement, is_maximized, latest_scalar
from legoloop.core.protocols import ScalarSource
from legoloop.loop.plugin import State

Weights = dict[str, Any]

SAFETENSORS = ".safetensors"


class HasModel(Protocol):
    """Such as an average of the weights: a plugin with a model of its own."""

    @property
    def model(self) -> nn.Module:
        """Of the same layers as the one that is trained."""
        ...


class SaveModelWeights:
    """At the end of the training, writes the model's state dict, on the CPU, to a file.

    The suffix of ``path`` decides what is written: ``.safetensors`` is that format, which needs the
    extra ``safetensors``; any other, or none, is what torch saves. Read it back with
    ``model.load_state_dict(torch.load(path))``, or ``safetensors.torch.load_file(path)`` in place
    of ``torch.load``.

    Raises MissingExtraError for a ``.safetensors`` without the package, DataError for a state dict
    that has more than tensors in it, which that format does not take.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "weights"
    >>> SaveModelWeights(nn.Linear(1, 1), path).train_end()
    >>> sorted(torch.load(path))
    ['bias', 'weight']
    """

    def __init__(self, model: nn.Module, path: str | Path) -> None:
        self.model = model
        self.path = written_to(path)

    def train_end(self) -> None:
        """Write the file."""
        weights = self.model.state_dict()
        for name, value in weights.items():
            if isinstance(value, torch.Tensor):
                weights[name] = value.cpu()
        write_weights(weights, self.path)


class BestModelWeights:
    """After each epoch that was the best so far, writes the model's state dict to a file.

    The suffix of ``path`` decides in which format, as that of SaveModelWeights does.

    The best is the one with the most, or least, of ``metric``, a scalar that one of the sources
    reports after an epoch; of equally good ones, the first. ``mode``, min or max, may be left out
    for a metric that is known. ``restore``: once the training is over, these weights are put back
    into the model, so that all that is made of it then is made of the best. Where the evaluations
    are those of an ``average`` of the weights, give it: the best are then its own.

    They are kept in memory and in checkpoints too: what an attempt that was killed wrote beyond
    its last checkpoint is not taken for the best of the resumed one.

    Raises ArgumentError for a metric of which nobody knows if more is better, and after an epoch
    if no source reports it.

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
        self.path = written_to(path)
        self.sources = as_list(sources)
        self.metric = metric
        self.higher_is_better = is_maximized(metric, mode)
        self.restore = restore
        self.best: float | None = None
        self.weights: Weights | None = None

    def train_start(self) -> None:
        """Put the file in the state of a resumed run."""
        if self.weights is not None:
            write_weights(self.weights, self.path)

    def epoch_end(self) -> None:
        """Compare, and keep."""
        value = latest_scalar(self.sources, self.metric, "the best weights")
        if is_improvement(value, self.best, self.higher_is_better):
            measured = self.average.model if self.average else self.model
            self.best, self.weights = value, _copied(measured)
            write_weights(self.weights, self.path)

    def train(self) -> None:
        """Put the best back, if that was asked for and there are any."""
        if self.restore and self.weights is not None:
            self.model.load_state_dict(self.weights)
            if self.average:
                self.average.model.load_state_dict(self.weights)

    def state_dict(self) -> State:
        """The best and how good it is."""
        return {"best": self.best, "weights": self.weights}

    def load_state_dict(self, state: State) -> None:
        """Go on from there."""
        self.best, self.weights = state["best"], state["weights"]


def _copied(model: nn.Module) -> Weights:
    """A state dict of its own, on the CPU."""
    weights = model.state_dict()
    for name, value in weights.items():
        if isinstance(value, torch.Tensor):
            weights[name] = value.detach().to("cpu", copy=True)
    return weights


def written_to(path: str | Path) -> Path:
    """The path, if what its suffix asks for can be written.

    >>> written_to("weights").name
    'weights'
    """
    path = Path(path)
    _refuse_without_package(path, "writing")
    return path


def write_weights(weights: Weights, path: Path) -> None:
    """Write a state dict that is on the CPU, in the format of the path's suffix.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "weights.pt"
    >>> write_weights({"bias": torch.zeros(1)}, path)
    >>> torch.load(path)
    {'bias': tensor([0.])}
    """
    content = _safetensors(weights, path) if path.suffix == SAFETENSORS else None
    with atomic_write(path) as draft, draft.open("wb") as file:
        if content is None:
            # Into a file object: torch would write the name of a path into the file.
            torch.save(weights, file)
        else:
            file.write(content)


def read_weights(path: Path) -> Any:
    """What a file of weights holds, on the CPU; it is read without pickle.

    Raises MissingExtraError for a ``.safetensors`` without the package.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "weights"
    >>> write_weights({"bias": torch.zeros(1)}, path)
    >>> read_weights(path)
    {'bias': tensor([0.])}
    """
    _refuse_without_package(path, "reading")
    if path.suffix == SAFETENSORS:
        from safetensors.torch import load

        return load(path.read_bytes())
    with path.open("rb") as file:
        return torch.load(file, map_location="cpu", weights_only=True)


def _refuse_without_package(path: Path, doing: str) -> None:
    if path.suffix == SAFETENSORS and find_spec("safetensors") is None:
        raise MissingExtraError.of(f"{doing} {path.name}", "safetensors", "safetensors")


def _safetensors(weights: Weights, path: Path) -> bytes:
    from safetensors.torch import save

    others = [name for name, value in weights.items() if not isinstance(value, torch.Tensor)]
    if others:
        raise DataError(
            f"{path.name} takes tensors alone, and '{others[0]}' is a "
            f"{type(weights[others[0]]).__name__}; give a path that ends in .pt"
        )
    content: bytes = save(dict(_apart(weights)))
    return content


def _apart(weights: Weights) -> Iterator[tuple[str, torch.Tensor]]:
    """Tensors that share their memory, as tied weights do, each with one of its own."""
    seen: set[int] = set()
    for name, value in weights.items():
        memory = value.untyped_storage().data_ptr()
        yield name, value.clone().contiguous() if memory in seen else value.contiguous()
        seen.add(memory)
