"""A short evaluation before the first epoch, so that a broken one is not found at its end."""

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

    ``factory`` makes the accumulators, ``metrics`` is called with what they collect, in which each
    of ``needs`` must be, such as the column that is to be predicted. Neither the model nor a
    generator nor a loop is changed; a resumed run leaves it out.

    Raises ArgumentError for less than one sample; and whatever the evaluation raises, DataError
    for an array that is missing, before any time is spent on training.

    >>> from legoloop.evaluation.accumulators import CompositeFactory, NumpyAccumulator
    >>> class Ones:
    ...     def peek(self, samples): yield {"idx": [1] * samples}
    >>> trial = EvaluationSanityCheck(
    ...     {"val": Ones()},
    ...     nn.Identity(),
    ...     feed=lambda batch: (batch, {}),
    ...     factory=CompositeFactory(idx=NumpyAccumulator),
    ...     metrics=lambda arrays: {"ones": sum(arrays["idx"])},
    ...     needs=["idxs"],
    ... )
    >>> trial.train_start()
    Traceback (most recent call last):
    legoloop.core.errors.DataError: the trial evaluation of 'val' gives no 'idxs'; did you mean idx?
    """

    def __init__(
        self,
        loop_iters: Mapping[str, RewindableStream],
        model: nn.Module,
        feed: FeedProtocol,
        factory: Callable[[], Accumulator],
        metrics: Metrics,
        needs: Sequence[str] = (),
        samples: int = 8,
    ) -> None:
        at_least(1, samples=samples)
        self.loop_iters = loop_iters
        self.model = model
        self.feed = feed
        self.factory = factory
        self.metrics = metrics
        self.needs = needs
        self.samples = samples
        self.is_tried = False

    def train_start(self) -> None:
        """Evaluate, unless the run goes on."""
        if not self.is_tried:
            passes = LoopsAcc(self.loop_iters, self.model, self.factory, self.feed, self.samples)
            for name in passes.names:
                self._try(name, dict(passes.accumulated(name)))
        self.is_tried = True

    def state_dict(self) -> State:
        """Whether it was tried."""
        return {"is_tried": self.is_tried}

    def load_state_dict(self, state: State) -> None:
        """What was tried is not tried again."""
        self.is_tried = state["is_tried"]

    def _try(self, name: str, arrays: Arrays) -> None:
        with preserved_rng():
            for key in self.needs:
                if key not in arrays:
                    raise DataError(
                        f"the trial evaluation of '{name}' gives no '{key}'; "
                        f"{did_you_mean(key, arrays)}"
                    )
            for value in self.metrics(arrays).values():
                float(value)
