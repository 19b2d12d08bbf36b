"""One stream of batches from several streams."""

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
    """Endless stream whose batches come from several streams, sampled in proportion to weights.

    Which stream a batch comes from is a function of (seed, names, position); the order within each
    stream is the same as without the others. ``samples`` is the size of all data sets together.

    Args:
        loop_iters: the streams by name.
        weights: the weight of each stream that is used, by name, above 0.
        seed: the seed of the choice among the streams.

    Raises ArgumentError for a stream that does not exist, and for weights that are not above 0.

    >>> import torch
    >>> from legoloop.data.loader_config import LoaderConfig
    >>> from legoloop.data.datasets import ColumnDataset
    >>> streams = {
    ...     name: BatchStream(ColumnDataset({"x": torch.full((9,), x)}), name, 0, LoaderConfig(1))
    ...     for name, x in {"train": 0, "more": 1}.items()
    ... }
    >>> mixed = MixedStream(streams, weights={"train": 3, "more": 1}, seed=0)
    >>> [next(mixed)["x"].item() for _ in range(12)]
    [1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1]
    """

    supports_ranks = True

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
                "is empty", argument="weights", remedy="give at least one stream a weight"
            )
        self.streams = {name: loop_iters[name] for name in sorted(weights)}
        self.position = 0
        self._seed = seed
        self._edges = list(accumulate(weights[name] for name in self.streams))
        self._samples_served = [0]
        self._counted: Counter[str] = Counter()

    @property
    def samples(self) -> int:
        """The number of samples of all data sets."""
        return sum(stream.samples for stream in self.streams.values())

    def __iter__(self) -> MixedStream:
        return self

    def __next__(self) -> Batch:
        batch = next(self.streams[self._name_at(self.position)])
        self.position += 1
        return batch

    def num_batches_for(self, samples: int, position: int = 0) -> int:
        """The number of batches, from a position on, that it takes to serve so many samples."""
        while len(self._samples_served) <= position:
            self._count_next_batch()
        wanted = self._samples_served[position] + samples
        while self._samples_served[-1] < wanted:
            self._count_next_batch()
        return bisect_left(self._samples_served, wanted) - position

    def state_dict(self) -> dict[str, Any]:
        """The position, and the state of each stream."""
        streams = {name: stream.state_dict() for name, stream in self.streams.items()}
        return {"position": self.position, "streams": streams}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Move to a position, each stream too; one without a state starts at its beginning.

        Args:
            state: of this stream, of one that mixes others, or of one of those that it mixes.
        """
        saved = state.get("streams", {state.get("name"): state})
        known = {name: stream for name, stream in self.streams.items() if name in saved}
        for name, stream in known.items():
            stream.load_state_dict(saved[name])
        # With another batch size, the batches of these streams are more or fewer.
        before = sum(saved[name]["position"] for name in known)
        now = sum(stream.position for stream in known.values())
        self.position = round(state["position"] * now / before) if before else state["position"]

    def close(self) -> None:
        """Stop the workers of all streams."""
        for stream in self.streams.values():
            stream.close()

    def _name_at(self, position: int) -> str:
        names = list(self.streams)
        point = derived_seed(self._seed, *names, position) / 2**63 * self._edges[-1]
        return names[min(bisect_right(self._edges, point), len(names) - 1)]

    def _count_next_batch(self) -> None:
        """Count the samples of one more batch."""
        name = self._name_at(len(self._samples_served) - 1)
        size = self.streams[name].batch_size_at(self._counted[name])
        self._counted[name] += 1
        self._samples_served.append(self._samples_served[-1] + size)
