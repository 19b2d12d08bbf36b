"""Evaluation passes over loops and loaders, made when a consumer asks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from typing import Literal

from torch import nn

from legoloop.core.batch_size import DefaultBatchDesc
from legoloop.core.checks import at_least
from legoloop.core.contracts import Arrays, Batch, BatchLoop, FeedsModel, SizesBatch
from legoloop.core.errors import ArgumentError
from legoloop.core.step import Step
from legoloop.core.suggest import suggestion
from legoloop.evaluation.accumulators import Accumulator
from legoloop.evaluation.looking import looking

Moment = Literal["epoch_end", "train_end"]


class EvaluationPasses(ABC):
    """Runs the model over named streams of batches and hands out what accumulated.

    A pass over a stream runs when somebody asks for it, at most once between two changes of the
    weights, and changes nothing: neither the model's flags nor the generators nor any position.
    ``at`` says at the end of what the metrics of these passes are taken; ``names`` restricts the
    streams. ``evaluated`` counts the samples of all passes so far.
    """

    def __init__(
        self,
        streams: Iterable[str],
        model: nn.Module,
        factory: Callable[[], Accumulator],
        feed: FeedsModel,
        batch_desc: SizesBatch | None,
        at: Moment,
        names: Iterable[str] | None,
    ) -> None:
        if at not in ("epoch_end", "train_end"):
            raise ArgumentError(f"at is {at!r}; give 'epoch_end' or 'train_end'")
        known = tuple(streams)
        for name in names or ():
            if name not in known:
                raise ArgumentError(f"names has '{name}'; {suggestion(name, known)}")
        self.names = known if names is None else tuple(names)
        self.at = at
        self.model = model
        self.factory = factory
        self.feed = feed
        self.batch_desc = batch_desc or DefaultBatchDesc()
        self.evaluated = 0
        self._results: dict[str, Arrays] = {}

    @abstractmethod
    def stream(self, name: str) -> Iterable[Batch]:
        """The batches to evaluate on."""

    def accumulated(self, name: str) -> Arrays:
        """What the accumulators collected over one stream with the weights as they are.

        Raises ArgumentError for a name that is not among ``names``.
        """
        if name not in self.names:
            raise ArgumentError(f"no evaluation of '{name}'; {suggestion(name, self.names)}")
        if name not in self._results:
            self._results[name] = self._pass(name)
        return self._results[name]

    def batch(self, step: Step) -> None:
        """The weights change."""
        self._results.clear()

    def epoch_end(self) -> None:
        """The weights may have changed after the last batch, in ``epoch``."""
        self._results.clear()

    def train(self) -> None:
        """The weights may change once more."""
        self._results.clear()

    def _pass(self, name: str) -> Arrays:
        with looking(self.model):
            accumulator = self.factory()
            for batch in self.stream(name):
                moved, outputs = self.feed(batch)
                accumulator.add({**moved, **outputs})
                self.evaluated += self.batch_desc(batch)
            result: Arrays = accumulator.result()
        return result


class LoopsAcc(EvaluationPasses):
    """Evaluates on the first samples of each loop, at most one pass and ``samples_limit``.

    ``factory`` makes a fresh accumulator for each pass; ``feed`` calls the model.
    Raises ArgumentError if the limit is less than 1, or for a loop that cannot be looked at.
    """

    def __init__(
        self,
        loop_iters: Mapping[str, BatchLoop],
        model: nn.Module,
        factory: Callable[[], Accumulator],
        feed: FeedsModel,
        samples_limit: int | None = None,
        batch_desc: SizesBatch | None = None,
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


class LoadersAcc(EvaluationPasses):
    """Evaluates on all of each loader, every sample once.

    ``factory`` makes a fresh accumulator for each pass; ``feed`` calls the model.
    """

    def __init__(
        self,
        loaders: Mapping[str, Iterable[Batch]],
        model: nn.Module,
        factory: Callable[[], Accumulator],
        feed: FeedsModel,
        batch_desc: SizesBatch | None = None,
        at: Moment = "train_end",
        names: Iterable[str] | None = None,
    ) -> None:
        super().__init__(loaders, model, factory, feed, batch_desc, at, names)
        self.loaders = loaders

    def stream(self, name: str) -> Iterable[Batch]:
        """The whole loader."""
        return self.loaders[name]
