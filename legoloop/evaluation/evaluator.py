"""Evaluation passes over loops and loaders, made when a consumer asks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal
from weakref import WeakSet

from torch import nn

from legoloop.core.arguments import at_least, entry
from legoloop.core.batch_size import DefaultBatchDesc
from legoloop.core.errors import ArgumentError
from legoloop.core.eval_mode import looking
from legoloop.core.protocols import Arrays, Batch, BatchSizer, FeedProtocol, RewindableStream
from legoloop.core.suggestions import did_you_mean
from legoloop.evaluation.accumulators import Accumulator, as_array
from legoloop.loop.step import Step

Moment = Literal["epoch_end", "train_end"]


class Evaluator(ABC):
    """Runs the model over named streams of batches and hands out what accumulated.

    A pass over a stream runs when somebody asks for it, at most once between two changes of the
    weights, and changes nothing: neither the model's flags nor the generators nor any position.
    Evaluations of one run that would make the very same pass, over the same stream with the same
    feed and factory, share it.
    ``at`` says at the end of what the metrics of these passes are taken; ``names`` restricts the
    streams. ``evaluated`` counts the samples of all passes so far.
    """

    def __init__(
        self,
        streams: Iterable[str],
        model: nn.Module,
        factory: Callable[[], Accumulator],
        feed: FeedProtocol,
        batch_desc: BatchSizer | None,
        at: Moment,
        names: Iterable[str] | None,
    ) -> None:
        if at not in ("epoch_end", "train_end"):
            raise ArgumentError(
                f"is {at!r}", argument="at", remedy="give 'epoch_end' or 'train_end'"
            )
        known = tuple(streams)
        for name in names or ():
            if name not in known:
                raise ArgumentError(
                    f"has '{name}'", argument="names", remedy=did_you_mean(name, known)
                )
        self.names = known if names is None else tuple(names)
        self.at = at
        self.model = model
        self.factory = factory
        self.feed = feed
        self.batch_desc = batch_desc or DefaultBatchDesc()
        self.evaluated = 0
        self._results: dict[str, Arrays] = {}
        self._changes = 0  # of the weights, as heard in this run
        self._versions: list[tuple[int, int]] | None = None  # of the weights, out of a run

    @abstractmethod
    def stream(self, name: str) -> Iterable[Batch]:
        """The batches to evaluate on."""

    @abstractmethod
    def source(self, name: str) -> tuple[object, int | None]:
        """What the batches come from, and how many samples of it at most; None: all."""

    def accumulated(self, name: str) -> Arrays:
        """What the accumulators collected over one stream with the weights as they are.

        Raises ArgumentError for a name that is not among ``names``.
        """
        self._refuse_unknown(name)
        hears = self in _running
        if not hears and self._versions != _versions(self.model):
            self._results.clear()
        if name not in self._results:
            shared = self._made_by_another(name)
            self._results[name] = self._pass(name) if shared is None else shared
        if not hears:
            self._versions = _versions(self.model)
        return self._results[name]

    def streamed(self, name: str, keys: Sequence[str]) -> Iterator[Arrays]:
        """These entries of one batch of a stream after the other, in a pass that keeps none.

        The model evaluates until all are read or the iterator is closed. Raises ArgumentError for
        a name that is not among ``names``, DataError for a key that neither the batch nor the
        model's outputs have.
        """
        self._refuse_unknown(name)
        with looking(self.model):
            for values in self._fed(name):
                yield {
                    key: as_array(entry(values, key, "what the model was given and made of it"))
                    for key in keys
                }

    def train_start(self) -> None:
        """From now on what the weights go through is heard."""
        self._results.clear()
        self._changes = 0
        _running.add(self)

    def batch(self, step: Step) -> None:
        """The weights change."""
        self._forget()

    def epoch_end(self) -> None:
        """The weights may have changed after the last batch, in ``epoch``."""
        self._forget()

    def train(self) -> None:
        """The weights may change once more."""
        self._forget()

    def close(self) -> None:
        """What the weights go through is heard no longer."""
        _running.discard(self)

    def _forget(self) -> None:
        self._results.clear()
        self._changes += 1

    def _refuse_unknown(self, name: str) -> None:
        if name not in self.names:
            raise ArgumentError(f"no evaluation of '{name}'; {did_you_mean(name, self.names)}")

    def _made_by_another(self, name: str) -> Arrays | None:
        """The result of the same pass, if an evaluation that heard as much as this has one."""
        if self not in _running:
            return None
        wanted = self._identity(name)
        return next(
            (
                result
                for other in _running
                if other._changes == self._changes
                for its, result in other._results.items()
                if other._identity(its) == wanted
            ),
            None,
        )

    def _identity(self, name: str) -> tuple[int | None, ...]:
        stream, samples = self.source(name)
        return id(stream), samples, id(self.model), id(self.feed), id(self.factory)

    def _pass(self, name: str) -> Arrays:
        with looking(self.model):
            accumulator = self.factory()
            for values in self._fed(name):
                accumulator.add(values)
            result: Arrays = accumulator.result()
        return result

    def _fed(self, name: str) -> Iterator[dict[str, Any]]:
        for batch in self.stream(name):
            moved, outputs = self.feed(batch)
            yield {**moved, **outputs}
            self.evaluated += self.batch_desc(batch)


_running: WeakSet[Evaluator] = WeakSet()


def _versions(model: nn.Module) -> list[tuple[int, int]]:
    """What torch counts of changes in place, for an evaluation that hears of none."""
    return [(id(tensor), tensor._version) for tensor in (*model.parameters(), *model.buffers())]


class LoopsAcc(Evaluator):
    """Evaluates on the first samples of each loop, at most one pass and ``samples_limit``.

    ``factory`` makes a fresh accumulator for each pass; ``feed`` calls the model.
    Raises ArgumentError if the limit is less than 1, or for a loop that cannot be looked at.
    """

    def __init__(
        self,
        loop_iters: Mapping[str, RewindableStream],
        model: nn.Module,
        factory: Callable[[], Accumulator],
        feed: FeedProtocol,
        samples_limit: int | None = None,
        batch_desc: BatchSizer | None = None,
        at: Moment = "epoch_end",
        names: Iterable[str] | None = None,
    ) -> None:
        super().__init__(loop_iters, model, factory, feed, batch_desc, at, names)
        if samples_limit is not None:
            at_least(1, samples_limit=samples_limit)
        for name in self.names:
            if not hasattr(loop_iters[name], "first"):
                raise ArgumentError(
                    f"loop '{name}' is a {type(loop_iters[name]).__name__} without first(samples), "
                    "so it cannot be looked at without moving it"
                )
        self.loop_iters = loop_iters
        self.samples_limit = samples_limit

    def stream(self, name: str) -> Iterable[Batch]:
        """The first samples of the loop."""
        return self.loop_iters[name].first(self.samples_limit)

    def source(self, name: str) -> tuple[object, int | None]:
        """The loop, and the limit."""
        return self.loop_iters[name], self.samples_limit


class LoadersAcc(Evaluator):
    """Evaluates on all of each loader, every sample once.

    ``factory`` makes a fresh accumulator for each pass; ``feed`` calls the model.
    """

    def __init__(
        self,
        loaders: Mapping[str, Iterable[Batch]],
        model: nn.Module,
        factory: Callable[[], Accumulator],
        feed: FeedProtocol,
        batch_desc: BatchSizer | None = None,
        at: Moment = "train_end",
        names: Iterable[str] | None = None,
    ) -> None:
        super().__init__(loaders, model, factory, feed, batch_desc, at, names)
        self.loaders = loaders

    def stream(self, name: str) -> Iterable[Batch]:
        """The whole loader."""
        return self.loaders[name]

    def source(self, name: str) -> tuple[object, int | None]:
        """The loader, all of it."""
        return self.loaders[name], None
