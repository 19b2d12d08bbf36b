"""An endless stream of the batches of a DataLoader of one's own."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sized
from typing import Any

import torch
from torch.utils.data import DataLoader, IterableDataset

from legoloop.core.arguments import at_least
from legoloop.core.errors import ArgumentError, DataError
from legoloop.core.naming import Names, check_names, named
from legoloop.core.protocols import Batch
from legoloop.core.rng import derived_seed
from legoloop.data.positional_rng import PositionalRng

log = logging.getLogger("legoloop")


class LoaderStream:
    """Endless stream of the batches of a DataLoader of one's own, pass after pass.

    Each pass iterates the loader anew. What it draws from, the global generators and a
    ``generator`` of its own, is seeded by the number of the pass and of the batch, and
    ``set_epoch`` of its sampler or data set is called: so batches are a function of (seed, pass,
    number), unless the loader remembers something itself.

    A resumed run goes on with the next batch. A loader with ``state_dict`` and ``load_state_dict``,
    such as torchdata's StatefulDataLoader, is given its state back. Any other has no position: the
    batches of the pass that were served already are read again, and dropped.

    It serves one process, not several ranks.

    Args:
        loader: gives batches whenever it is iterated: a DataLoader, also one of an IterableDataset,
            or any other iterable.
        names: what the values of a batch are called, as for a NamedDataset; None: batches are
            dicts.
        samples: the number of samples of a pass; None: its length, if the loader has one.
        seed: what passes are seeded with.

    Raises ArgumentError for an iterator, which has one pass, and for an IterableDataset, which
    gives samples; DataError for a pass without batches, and for a batch that cannot be named so.

    >>> from torch.utils.data import TensorDataset
    >>> pairs = TensorDataset(torch.arange(3.0), torch.arange(3))
    >>> stream = LoaderStream(DataLoader(pairs, batch_size=2), names=["x", "target"])
    >>> [next(stream)["x"].tolist() for _ in range(3)], stream.samples
    ([[0.0, 1.0], [2.0], [0.0, 1.0]], 3)
    """

    supports_ranks = False
    keeps_state_of = ("loader",)
    """Its state is in the own one, or it is read again."""

    def __init__(
        self,
        loader: Iterable[Any],
        names: Names = None,
        samples: int | None = None,
        seed: int = 0,
    ) -> None:
        _check_loader(loader)
        check_names(names, "names")
        if samples is not None:
            at_least(1, samples=samples)
        self.loader: Any = loader
        self.names = names
        self.samples = _samples_of(loader) if samples is None else samples
        self.position = 0
        self._seed = seed
        self._pass = 0
        self._served = 0
        """So many batches of this pass."""
        self._batches: Iterator[Any] | None = None
        self._saved: Any = None
        """The state with which the loader begins in the middle of a pass."""

    def __iter__(self) -> LoaderStream:
        return self

    def __next__(self) -> Batch:
        if self._batches is None:
            self._batches = self._resumed()
        try:
            batch = next(self._batches, None)
            if batch is None:
                batch = self._first_of_next_pass()
        except BaseException:
            self._batches = None
            raise
        self._served += 1
        self.position += 1
        return named(batch, self.names, "names", f"a batch of the {self._kind}")

    def num_batches_for(self, samples: int, position: int = 0) -> int:
        """The number of batches, from a position on, that it takes to serve so many samples.

        Raises ArgumentError for a loader that does not tell how long its passes are.
        """
        per_pass = _samples_of(self.loader)
        size: int | None = getattr(self.loader, "batch_size", None)
        if per_pass is None or size is None:
            raise ArgumentError(
                f"the {self._kind} does not tell how many batches a pass has; give the number of "
                "steps"
            )
        batches = -(-per_pass // size)
        served = position % batches * size
        passes, rest = divmod(served + samples, per_pass)
        return passes * batches + -(-rest // size) - position % batches

    def state_dict(self) -> dict[str, Any]:
        """The pass, the number of batches that it has served, and the loader's own state."""
        return {
            "position": self.position,
            "pass": self._pass,
            "served": self._served,
            "order": self._order,
            "loader": self._loader_state(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from there.

        Raises DataError within a pass that would be cut otherwise, or seeded otherwise, now.
        """
        changes = [
            f"{key} was {state['order'][key]}, is {now}"
            for key, now in self._order.items()
            if state["order"][key] != now
        ]
        if state["served"] and changes:
            raise DataError(
                f"the stream of the {self._kind} is in the middle of a pass, whose order cannot "
                f"change: {'; '.join(changes)}; change that after a whole pass"
            )
        self._batches = None
        self.position = state["position"]
        self._pass, self._served = state["pass"], state["served"]
        self._saved = state["loader"]

    def close(self) -> None:
        """Stop the workers; the next batch starts new ones."""
        self._saved = self._loader_state()
        self._batches = None

    @property
    def _kind(self) -> str:
        return type(self.loader).__name__

    @property
    def _order(self) -> dict[str, Any]:
        """What the batches of a pass depend on."""
        return {"batch size": getattr(self.loader, "batch_size", None), "seed": self._seed}

    @property
    def _has_position(self) -> bool:
        return all(hasattr(self.loader, name) for name in ("state_dict", "load_state_dict"))

    def _loader_state(self) -> Any:
        if not self._served or not self._has_position:
            return None
        return self._saved if self._batches is None else self.loader.state_dict()

    def _resumed(self) -> Iterator[Any]:
        """The batches of this pass that were not served yet."""
        if self._saved is not None:
            self.loader.load_state_dict(self._saved)
            return self._seeded(begins=False)
        batches = self._seeded()
        if self._served:
            log.info(
                "the %s has no position: %d batches of pass %d are read again",
                *(self._kind, self._served, self._pass),
            )
        for number in range(self._served):
            if next(batches, None) is None:
                raise DataError(
                    f"the {self._kind} gave {number} batches in a pass of which it had given "
                    f"{self._served} before; give the run the data that it had"
                )
        return batches

    def _first_of_next_pass(self) -> Any:
        if self._served:
            self._pass, self._served, self._saved = self._pass + 1, 0, None
            self._batches = self._seeded()
            batch = next(self._batches, None)
            if batch is not None:
                return batch
        raise DataError(f"the {self._kind} gave no batch in pass {self._pass}")

    def _seeded(self, begins: bool = True) -> Iterator[Any]:
        """The loader's batches, each made with the random numbers of its number in the pass."""
        number, rng = (
            self._served if not begins else 0,
            PositionalRng(self._seed, f"pass {self._pass}"),
        )
        with rng.active():
            rng.seed_for(-1)
            if begins:
                self._begin_pass()
            batches = iter(self.loader)
        while True:
            with rng.active():
                rng.seed_for(number)
                try:
                    batch = next(batches)
                except StopIteration:
                    return
            number += 1
            yield batch

    def _begin_pass(self) -> None:
        """Seed the generators of the loader itself, and tell it the number of the pass."""
        sampler = getattr(self.loader, "sampler", None)
        for part in (self.loader, sampler, getattr(self.loader, "dataset", None)):
            generator = getattr(part, "generator", None)
            if isinstance(generator, torch.Generator):
                generator.manual_seed(derived_seed(self._seed, "generator", self._pass))
            if part is not self.loader and callable(getattr(part, "set_epoch", None)):
                part.set_epoch(self._pass)  # type: ignore[union-attr]


def _check_loader(loader: Any) -> None:
    kind = type(loader).__name__
    if isinstance(loader, IterableDataset):
        raise ArgumentError(
            f"is a {kind}, which gives samples",
            argument="loader",
            remedy="put it into a torch.utils.data.DataLoader",
        )
    if hasattr(loader, "__next__") or not hasattr(loader, "__iter__"):
        raise ArgumentError(
            f"is a {kind}, which cannot be iterated again and again",
            argument="loader",
            remedy="give a DataLoader, or an object whose __iter__ begins a pass",
        )


def _samples_of(loader: Any) -> int | None:
    """The samples of a pass of a DataLoader; None if it does not know, or cuts its own batches."""
    if not isinstance(loader, DataLoader) or loader.batch_size is None:
        return None
    if isinstance(loader.dataset, IterableDataset) or not isinstance(loader.sampler, Sized):
        return None
    samples = len(loader.sampler)
    return samples - samples % loader.batch_size if loader.drop_last else samples
