"""A short evaluation before the first epoch, so that a broken one is found at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from torch import nn

from legoloop.core.arguments import at_least
from legoloop.core.errors import DataError
from legoloop.core.protocols import Arrays, FeedProtocol, Metrics, RewindableStream
from legoloop.core.rng import preserved_rng
from legoloop.core.suggestions import did_you_mean
from legoloop.evaluation.accumulators import Accumulator
from legoloop.evaluation.evaluator import LoopsAcc
from legoloop.loop.plugin import State


class EvaluationSanityCheck:
    """Before the first step, evaluates a few samples of each loop, and keeps nothing of it.

    Neither the model nor a generator nor a loop is changed; a resumed run leaves it out.

    Args:
        loop_iters (Mapping[str, RewindableStream]): the loops by name.
        model (nn.Module): the model to evaluate.
        feed (FeedProtocol): calls the model.
        factory (Callable[[], Accumulator]): makes the accumulators.
        metrics (Callable): is called with what they collect.
        required_keys (Sequence[str]): the arrays that must be collected, such as the column that
            is to be predicted.
        num_samples (int): at most so many samples of each loop.

    Raises ArgumentError for less than one sample; and whatever the evaluation raises, DataError
    for an array that is missing, before any time is spent on training.

    >>> from legoloop.evaluation.accumulators import CompositeFactory, NumpyAccumulator
    >>> class Ones:
    ...     def peek(self, samples): yield {"idx": [1] * samples}
    >>> check = EvaluationSanityCheck(
    ...     {"val": Ones()},
    ...     nn.Identity(),
    ...     feed=lambda batch: (batch, {}),
    ...     factory=CompositeFactory(idx=NumpyAccumulator),
    ...     metrics=lambda arrays: {"ones": sum(arrays["idx"])},
    ...     required_keys=["idxs"],
    ... )
    >>> check.train_start()
    Traceback (most recent call last):
    legoloop.core.errors.DataError: the sanity check of 'val' gives no 'idxs'; did you mean idx?
    """

    def __init__(
        self,
        loop_iters: Mapping[str, RewindableStream],
        model: nn.Module,
        feed: FeedProtocol,
        factory: Callable[[], Accumulator],
        metrics: Metrics,
        required_keys: Sequence[str] = (),
        num_samples: int = 8,
    ) -> None:
        at_least(1, num_samples=num_samples)
        self.loop_iters = loop_iters
        self.model = model
        self.feed = feed
        self.factory = factory
        self.metrics = metrics
        self.required_keys = required_keys
        self.num_samples = num_samples
        self.is_checked = False

    def train_start(self) -> None:
        """Evaluate, unless the run is resumed."""
        if not self.is_checked:
            evaluation = LoopsAcc(
                self.loop_iters, self.model, self.factory, self.feed, self.num_samples
            )
            for name in evaluation.datasets:
                self._check(name, dict(evaluation.collect(name)))
        self.is_checked = True

    def state_dict(self) -> State:
        """Whether it was done."""
        return {"is_checked": self.is_checked}

    def load_state_dict(self, state: State) -> None:
        self.is_checked = state["is_checked"]

    def _check(self, name: str, arrays: Arrays) -> None:
        with preserved_rng():
            for key in self.required_keys:
                if key not in arrays:
                    raise DataError(
                        f"the sanity check of '{name}' gives no '{key}'; "
                        f"{did_you_mean(key, arrays)}"
                    )
            for value in self.metrics(arrays).values():
                float(value)
