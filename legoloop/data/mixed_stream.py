"""One stream of batches out of several loops."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Mapping
from itertools import accumulate
from typing import Any

from legoloop.core.arguments import above_zero
from legoloop.core.errors import ArgumentError
from legoloop.core.protocols import Batch
from legoloop.core.rng import derived_seed
from legoloop.core.suggestions import did_you_mean
from legoloop.data.streams import BatchStream


class MixedStream:
    """An endless stream whose batches come from several loops, each as often as its weight says.

    ``weights`` names the loops among ``loop_iters`` to draw from. Which of them a batch comes from
    is a function of (seed, names, position), and each loop goes on where it stands, so that the
    order within a loop is that which it has alone. ``samples`` is the size of all of them together.

    Raises ArgumentError for a loop that is not there, and for weights that are not above 0.

    >>> import torch
    >>> from legoloop.data.loader_config import LoaderConfig
    >>> from legoloop.data.datasets import ColumnDataset
    >>> loops = {
    ...     name: BatchStream(ColumnDataset({"x": torch.full((9,), x)}), name, 0, LoaderConfig(1))
    ...     for name, x in {"train": 0, "more": 1}.items()
    ... }
    >>> mixed = MixedStream(loops, weights={"train": 3, "more": 1}, seed=0)
    >>> [next(mixed)["x"].item() for _ in range(12)]
    [1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1]
    """

    def __init__(
        self, loop_iters: Mapping[str, BatchStream], weights: Mapping[str, float], seed: int = 0
    ) -> None:
        for name, weight in weights.items():
            if name not in loop_iters:
                raise ArgumentError(
                    f"has '{name}'", argument="weights", remedy=did_you_mean(name, loop_iters)
                )
            above_zero(**{f"weights.{name}": weight})
        if not weights:
            raise ArgumentError(
                "is empty", argument="weights", remedy="give at least one loop a weight"
            )
        self.loops = {name: loop_iters[name] for name in sorted(weights)}
        self.position = 0
        self._seed = seed
        self._edges = list(accumulate(weights[name] for name in self.loops))
        self._handed_over = [0]
        self._ahead: Counter[str] = Counter()

    @property
    def samples(self) -> int:
        """The number of samples of all the loops."""
        return sum(loop.samples for loop in self.loops.values())

    def __iter__(self) -> MixedStream:
        return self

    def __next__(self) -> Batch:
        batch = next(self.loops[self._name_at(self.position)])
        self.position += 1
        return batch

    def num_batches_for(self, samples: int, position: int = 0) -> int:
        """How many batches, from a position on, it takes to hand over so many samples."""
        while len(self._handed_over) <= position:
            self._look_ahead()
        wanted = self._handed_over[position] + samples
        while self._handed_over[-1] < wanted:
            self._look_ahead()
        return bisect_left(self._handed_over, wanted) - position

    def state_dict(self) -> dict[str, Any]:
        """Where it stands, and each of the loops."""
        loops = {name: loop.state_dict() for name, loop in self.loops.items()}
        return {"position": self.position, "loops": loops}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go there."""
        self.position = state["position"]
        for name, loop in self.loops.items():
            loop.load_state_dict(state["loops"][name])

    def close(self) -> None:
        """Let the workers of the loops go."""
        for loop in self.loops.values():
            loop.close()

    def _name_at(self, position: int) -> str:
        names = list(self.loops)
        point = derived_seed(self._seed, *names, position) / 2**63 * self._edges[-1]
        return names[min(bisect_right(self._edges, point), len(names) - 1)]

    def _look_ahead(self) -> None:
        """Count the samples of one more batch."""
        name = self._name_at(len(self._handed_over) - 1)
        size = self.loops[name].batch_size_at(self._ahead[name])
        self._ahead[name] += 1
        self._handed_over.append(self._handed_over[-1] + size)
