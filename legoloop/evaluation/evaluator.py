"""Evaluation passes over loops and loaders, made when a consumer asks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from itertools import islice
from typing import Any, Literal

from torch import nn

from legoloop.core.arguments import at_least, one_of, require_key
from legoloop.core.batch_size import DefaultBatchDesc
from legoloop.core.errors import ArgumentError, DataError
from legoloop.core.eval_mode import evaluation_mode
from legoloop.core.naming import Names, check_names, named
from legoloop.core.on_evaluation import Stages
from legoloop.core.out_of_memory import is_out_of_memory, out_of_memory
from legoloop.core.protocols import (
    Arrays,
    Batch,
    BatchSizer,
    FeedProtocol,
    Outputs,
    RewindableStream,
    TrainingProgress,
)
from legoloop.core.ranks import Ranks, current_ranks
from legoloop.core.suggestions import did_you_mean
from legoloop.evaluation.accumulators import Accumulator, as_array, can_merge, merged
from legoloop.loop.evaluation_cache import EvaluationCache
from legoloop.loop.plugin import ShouldEvaluate
from legoloop.loop.step import Step

When = Literal["epoch_end", "train_end"]


class Evaluator(ABC):
    """Base of the evaluations: runs the model over named streams and returns what accumulated.

    A pass over a stream runs when somebody asks for it, at most once between two changes of the
    weights. It has no side effects: train flags, buffers, generators and positions are restored.
    Evaluations of one run that would make the very same pass, over the same stream with the same
    feed and factory, share it through the cache of their host. ``evaluated`` counts the samples of
    all passes so far.

    Several ranks share a pass: each evaluates a block of whole batches, and what they accumulate is
    merged in order, so that all have the result of a process alone. Where the stream cannot be
    dealt out, or an accumulator has no ``merge``, each rank makes the whole pass.

    Args:
        streams (Iterable[str]): the names of the streams that there are.
        model (nn.Module): is put in evaluation mode during a pass.
        factory (Callable[[], Accumulator]): makes a fresh accumulator for each pass.
        feed (FeedProtocol): calls the model.
        batch_desc (BatchSizer | None): the number of samples in a batch; None: the length of its
            first column.
        when (str): the stage at which metrics of these passes are computed: ``epoch_end`` or
            ``train_end``.
        datasets (Iterable[str] | None): the streams to evaluate on; None: all.
        counter (TrainingProgress | None): counts epochs and steps; needed where an evaluation is
            not due after each epoch.
        every_epochs (int | None): with ``epoch_end``, due after every so many epochs; None: not by
            epochs.
        every_steps (int | None): with ``epoch_end``, also due after every so many steps, between
            two batches; None: not by steps.
        enabled (bool): if False, no metrics of it are computed, and no predictions written.

    Raises ArgumentError for another stage, for a data set that is not among the streams, and for
    numbers that are less than 1 or need the counter.
    """

    supports_ranks = True
    supports_members = True

    def __init__(
        self,
        streams: Iterable[str],
        model: nn.Module,
        factory: Callable[[], Accumulator],
        feed: FeedProtocol,
        batch_desc: BatchSizer | None,
        when: When,
        datasets: Iterable[str] | None,
        counter: TrainingProgress | None,
        every_epochs: int | None,
        every_steps: int | None,
        enabled: bool,
    ) -> None:
        one_of(("epoch_end", "train_end"), when=when)
        for name, number in {"every_epochs": every_epochs, "every_steps": every_steps}.items():
            if number is not None:
                at_least(1, **{name: number})
        if counter is None and (every_epochs, every_steps) != (1, None):
            raise ArgumentError(
                "is None, but every_epochs and every_steps are counted",
                argument="counter",
                remedy="give the Counter of the run",
            )
        known = tuple(streams)
        for name in datasets or ():
            if name not in known:
                raise ArgumentError(
                    f"has '{name}'", argument="datasets", remedy=did_you_mean(name, known)
                )
        self.datasets = known if datasets is None else tuple(datasets)
        self.when = when
        self.counter = counter
        self.every_epochs = every_epochs
        self.every_steps = every_steps
        self.enabled = enabled
        self.model = model
        self.factory = factory
        self.feed = feed
        self.batch_desc = batch_desc or DefaultBatchDesc()
        self.evaluated = 0
        self._cache, self._run_cache = EvaluationCache(), EvaluationCache()
        self._is_in_run = False
        self.version = 0  # of the weights, counted by the hooks below
        self._tensor_versions: list[tuple[int, int]] | None = None

    @abstractmethod
    def stream(self, name: str) -> Iterable[Batch]:
        """The batches to evaluate on."""

    @abstractmethod
    def source(self, name: str) -> tuple[object, int | None]:
        """What the batches come from, and how many samples of it at most; None: all."""

    def block(self, name: str, ranks: Ranks) -> Iterable[Batch] | None:
        """The batches that one of several ranks evaluates; None: they cannot be dealt out."""
        return None

    def collect(self, name: str) -> Arrays:
        """What the accumulators collected over one data set with the weights as they are.

        Raises ArgumentError for a name that is not among ``datasets``.
        """
        self._reject_unknown(name)
        if not self._is_in_run and self._tensor_versions != _tensor_versions(self.model):
            self._cache.clear()
        result: Arrays = self._cache.get(
            self.pass_identity(name), self.version, lambda: self._pass(name)
        )
        if not self._is_in_run:
            self._tensor_versions = _tensor_versions(self.model)
        return result

    def iterate(self, name: str, keys: Sequence[str]) -> Iterator[Arrays]:
        """These entries of one batch of a data set after the other, in a pass that keeps none.

        The model is in evaluation mode until all are read or the iterator is closed. Raises
        ArgumentError for a name that is not among ``datasets``, DataError for a key that neither
        the batch nor the model's outputs have.
        """
        self._reject_unknown(name)
        with self._evaluation_mode():
            for values in self._model_outputs(self.stream(name)):
                yield {
                    key: as_array(require_key(values, key, "the batch with the model's outputs"))
                    for key in keys
                }

    def collect_first_batch(self, name: str) -> Arrays:
        """What the accumulators collect over the first batch of a data set, which is not kept."""
        self._reject_unknown(name)
        return self._accumulated(name, 1)

    def is_due(self, stage: Stages) -> bool:
        """Whether what follows from the evaluation is to be computed at this stage of the loop."""
        if not self.enabled or self.when == "train_end":
            return self.enabled and stage == "train_end"
        if stage == "epoch_end":
            return self._is_epoch_due() and not self._is_step_due()
        return stage == "within_epoch" and self._is_step_due()

    @property
    def is_scheduled(self) -> bool:
        """Whether it is due some time within the training."""
        by_steps_or_epochs = self.every_epochs is not None or self.every_steps is not None
        return self.enabled and self.when == "epoch_end" and by_steps_or_epochs

    def pass_identity(self, name: str) -> tuple[int | None, ...]:
        """Equal for passes that give the same result with the same weights."""
        source, samples = self.source(name)
        return id(source), samples, id(self.model), id(self.feed), id(self.factory)

    def use_evaluation_cache(self, cache: EvaluationCache) -> None:
        """Share results through this cache in the next run."""
        self._run_cache = cache

    def train_start(self) -> None:
        """Count the versions of the weights in the hooks from now on."""
        self._cache = self._run_cache
        self.version = 0
        self._is_in_run = True

    def batch(self, step: Step) -> None:
        """The weights change."""
        self._weights_changed()

    def batch_end(self, step: Step) -> ShouldEvaluate | None:
        """Ask for an evaluation before the next batch, if it is time."""
        return ShouldEvaluate() if self.every_steps and self.is_due("within_epoch") else None

    def epoch_end(self) -> None:
        """The weights may have changed after the last batch, in ``epoch``."""
        self._weights_changed()

    def train(self) -> None:
        """The weights may change once more."""
        self._weights_changed()

    def close(self) -> None:
        """Leave the host's cache: no hook counts the versions any longer."""
        self._cache, self._run_cache = EvaluationCache(), EvaluationCache()
        self._is_in_run = False

    def _weights_changed(self) -> None:
        self.version += 1
        self._cache.drop_older(self.version)

    def _is_epoch_due(self) -> bool:
        if self.counter is None or self.every_epochs is None:
            return self.every_epochs is not None
        return self.counter.epochs % self.every_epochs == 0

    def _is_step_due(self) -> bool:
        if self.counter is None or self.every_steps is None or not self.counter.steps:
            return False
        return self.counter.steps % self.every_steps == 0

    def _reject_unknown(self, name: str) -> None:
        if name not in self.datasets:
            raise ArgumentError(
                f"no evaluation of '{name}'", remedy=did_you_mean(name, self.datasets)
            )

    @contextmanager
    def _evaluation_mode(self) -> Iterator[None]:
        """For the model; and for that of the feed, an average for one, if that is another one."""
        called = getattr(self.feed, "model", None)
        with ExitStack() as stack:
            stack.enter_context(evaluation_mode(self.model))
            if isinstance(called, nn.Module) and called is not self.model:
                ranks = current_ranks()
                ranks.sync_buffers(called)
                stack.enter_context(ranks.whole_weights(called))
            yield

    def _pass(self, name: str) -> Arrays:
        return self._accumulated(name, None)

    def _accumulated(self, name: str, batches: int | None) -> Arrays:
        with self._evaluation_mode():
            accumulator = self.factory()
            ranks = current_ranks()
            is_shared = not ranks.is_alone and batches is None and can_merge(accumulator)
            block = self.block(name, ranks) if is_shared else None
            stream = self.stream(name) if block is None else block
            for values in islice(self._model_outputs(stream), batches):
                accumulator.add(values)
                if ranks.is_interrupted and block is not None:
                    break  # what is left of the pass may take minutes, and the run ends here
            if block is not None:
                accumulator = merged(ranks.gather(accumulator))
                if ranks.interruption is not None:
                    raise ranks.interruption
            result: Arrays = accumulator.result()
        return result

    def _model_outputs(self, batches: Iterable[Batch]) -> Iterator[dict[str, Any]]:
        for batch in batches:
            try:
                moved, outputs = self.feed(batch)
            except RuntimeError as error:
                if is_out_of_memory(error):
                    raise self._out_of_memory(batch, error) from error
                raise
            yield BatchWithOutputs(moved, outputs)
            self.evaluated += self.batch_desc(batch)

    def _out_of_memory(self, batch: Batch, error: RuntimeError) -> DataError:
        samples = DefaultBatchDesc()(batch)
        return out_of_memory(
            f"the evaluation of {samples} samples at once",
            f"give data.loaders.default.eval_batch_size={samples // 2}"
            if samples > 1
            else "give a smaller model",
            error,
        )


class BatchWithOutputs(dict[str, Any]):
    """All values by name, those of the outputs over those of the batch; and each in ``parts``."""

    def __init__(self, batch: Batch, outputs: Outputs) -> None:
        super().__init__({**batch, **outputs})
        self.parts = batch, outputs


def _tensor_versions(model: nn.Module) -> list[tuple[int, int]]:
    """Torch's counts of changes in place, for an evaluation whose hooks are not called."""
    return [(id(tensor), tensor._version) for tensor in (*model.parameters(), *model.buffers())]


class LoopsAcc(Evaluator):
    """Evaluates on the first samples of each loop, at most one pass and ``samples_limit``.

    The loops are not moved. Hand it to what uses the results, such as ``AccumulatorMetrics``.

    Args:
        loop_iters (Mapping[str, RewindableStream]): the streams by name, with ``peek(samples)``.
        model (nn.Module): is put in evaluation mode during a pass.
        factory (Callable[[], Accumulator]): makes a fresh accumulator for each pass.
        feed (FeedProtocol): calls the model.
        samples_limit (int | None): at most so many samples of each loop; None: one pass.
        batch_desc (BatchSizer | None): the number of samples in a batch; None: the length of its
            first column.
        when (str): the stage at which metrics of it are computed: ``epoch_end`` or ``train_end``.
        datasets (Iterable[str] | None): the loops to evaluate on; None: all.
        counter (TrainingProgress | None): counts epochs and steps; needed where an evaluation is
            not due after each epoch.
        every_epochs (int | None): with ``epoch_end``, due after every so many epochs; None: not by
            epochs.
        every_steps (int | None): with ``epoch_end``, also due after every so many steps, between
            two batches; None: not by steps.
        enabled (bool): if False, no metrics of it are computed, and no predictions written.

    Raises ArgumentError for a limit less than 1, another stage, a data set that is not there, and
    a loop without ``peek(samples)``.

    >>> from legoloop.evaluation.accumulators import CompositeFactory, NumpyAccumulator
    >>> class Ones:
    ...     def peek(self, samples): yield {"idx": [1] * samples}
    >>> factory = CompositeFactory(idx=NumpyAccumulator)
    >>> def feed(batch): return batch, {}
    >>> LoopsAcc({"val": Ones()}, nn.Identity(), factory, feed, samples_limit=3).collect("val")
    {'idx': array([1, 1, 1])}
    """

    def __init__(
        self,
        loop_iters: Mapping[str, RewindableStream],
        model: nn.Module,
        factory: Callable[[], Accumulator],
        feed: FeedProtocol,
        samples_limit: int | None = None,
        batch_desc: BatchSizer | None = None,
        when: When = "epoch_end",
        datasets: Iterable[str] | None = None,
        counter: TrainingProgress | None = None,
        every_epochs: int | None = 1,
        every_steps: int | None = None,
        enabled: bool = True,
    ) -> None:
        how = feed, batch_desc, when, datasets, counter, every_epochs, every_steps, enabled
        super().__init__(loop_iters, model, factory, *how)
        if samples_limit is not None:
            at_least(1, samples_limit=samples_limit)
        for name in self.datasets:
            if not hasattr(loop_iters[name], "peek"):
                raise ArgumentError(
                    f"loop '{name}' is a {type(loop_iters[name]).__name__} without peek(samples), "
                    "so it cannot be evaluated without moving it"
                )
        self.loop_iters = loop_iters
        self.samples_limit = samples_limit

    def stream(self, name: str) -> Iterable[Batch]:
        """The first samples of the loop."""
        return self.loop_iters[name].peek(self.samples_limit)

    def block(self, name: str, ranks: Ranks) -> Iterable[Batch] | None:
        """Those of the batches that a rank evaluates, from a BatchStream."""
        peek: Any = getattr(self.loop_iters[name], "peek_block", None)
        return None if peek is None else peek(ranks, self.samples_limit)

    def source(self, name: str) -> tuple[object, int | None]:
        """The loop, and the limit."""
        return self.loop_iters[name], self.samples_limit


class LoadersAcc(Evaluator):
    """Evaluates on all of each loader, every sample once, or on so many samples of it.

    Hand it to what uses the results, such as ``AccumulatorMetrics`` or ``CsvLogits``.

    Args:
        loaders (Mapping[str, Iterable[Any]]): the loaders by name; DataLoaders of one's own too.
        model (nn.Module): is put in evaluation mode during a pass.
        factory (Callable[[], Accumulator]): makes a fresh accumulator for each pass.
        feed (FeedProtocol): calls the model.
        batch_desc (BatchSizer | None): the number of samples in a batch; None: the length of its
            first column.
        when (str): the stage at which metrics of it are computed: ``epoch_end`` or ``train_end``.
        datasets (Iterable[str] | None): the loaders to evaluate on; None: all.
        counter (TrainingProgress | None): counts epochs and steps; needed where an evaluation is
            not due after each epoch.
        every_epochs (int | None): with ``epoch_end``, due after every so many epochs; None: not by
            epochs.
        every_steps (int | None): with ``epoch_end``, also due after every so many steps, between
            two batches; None: not by steps.
        enabled (bool): if False, no metrics of it are computed, and no predictions written.
        samples_limit (int | None): at most so many samples of each loader, spread evenly over it;
            None: all.
        names (str | list | Mapping | None): what the values of a batch of a loader of one's own are
            called, as for a LoaderStream; None: batches are dicts.

    Raises ArgumentError for another stage, and a data set that is not there; when it is read,
    DataError for a batch that cannot be named so.

    >>> from legoloop.evaluation.accumulators import CompositeFactory, NumpyAccumulator
    >>> factory = CompositeFactory(idx=NumpyAccumulator)
    >>> def feed(batch): return batch, {}
    >>> loaders = {"val": [{"idx": [1, 2]}, {"idx": [3]}]}
    >>> LoadersAcc(loaders, nn.Identity(), factory, feed).collect("val")
    {'idx': array([1, 2, 3])}
    """

    def __init__(
        self,
        loaders: Mapping[str, Iterable[Any]],
        model: nn.Module,
        factory: Callable[[], Accumulator],
        feed: FeedProtocol,
        batch_desc: BatchSizer | None = None,
        when: When = "train_end",
        datasets: Iterable[str] | None = None,
        counter: TrainingProgress | None = None,
        every_epochs: int | None = 1,
        every_steps: int | None = None,
        enabled: bool = True,
        samples_limit: int | None = None,
        names: Names = None,
    ) -> None:
        check_names(names, "names")
        how = feed, batch_desc, when, datasets, counter, every_epochs, every_steps, enabled
        super().__init__(loaders, model, factory, *how)
        if samples_limit is not None:
            at_least(1, samples_limit=samples_limit)
            for name in self.datasets:
                if not hasattr(loaders[name], "block"):
                    raise ArgumentError(
                        f"is {samples_limit}, but loader '{name}', a "
                        f"{type(loaders[name]).__name__}, cannot serve a part of its samples",
                        argument="samples_limit",
                        remedy="give null, or a Loader",
                    )
        self.loaders = loaders
        self.names = names
        self.samples_limit = samples_limit

    def stream(self, name: str) -> Iterable[Batch]:
        """The whole loader, or so many of its samples."""
        loader: Any = self.loaders[name]
        if self.samples_limit is not None:
            return loader.block(Ranks(), self.samples_limit)  # type: ignore[no-any-return]
        if hasattr(loader, "block"):  # a Loader, whose batches know their samples
            return loader  # type: ignore[no-any-return]
        return (named(batch, self.names, "names", f"a batch of '{name}'") for batch in loader)

    def block(self, name: str, ranks: Ranks) -> Iterable[Batch] | None:
        """Those of the batches that a rank evaluates, from a Loader."""
        block: Any = getattr(self.loaders[name], "block", None)
        if block is None or self.samples_limit is None:
            return None if block is None else block(ranks)
        return block(ranks, self.samples_limit)  # type: ignore[no-any-return]

    def source(self, name: str) -> tuple[object, int | None]:
        """The loader, and the limit."""
        return self.loaders[name], self.samples_limit
