"""The shares of more ranks than there are machines for, computed in one process."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice, pairwise
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from legoloop.core.ranks import Ranks, train_with
from legoloop.data import streams
from legoloop.data.datasets import ColumnDataset
from legoloop.data.loader_config import LoaderConfig
from legoloop.data.positional_rng import shuffled
from legoloop.data.streams import BatchStream

SAMPLES, BATCH, RANKS, PASSES = 1_300_000, 8192, 1024, 10
LAST_BATCH = SAMPLES % BATCH
BATCHES = -(-SAMPLES // BATCH)


class Counted:
    """Samples that are fetched one at a time, and counted."""

    def __init__(self, samples: int) -> None:
        self.samples = samples
        self.fetched = 0

    def __len__(self) -> int:
        return self.samples

    def __getitem__(self, item: int) -> dict[str, Any]:
        self.fetched += 1
        return {"idx": item}


def stream(dataset: Any, batch_size: int = BATCH) -> BatchStream:
    return BatchStream(dataset, name="train", seed=0, config=LoaderConfig(batch_size=batch_size))


def columns(samples: int) -> ColumnDataset:
    return ColumnDataset({"idx": torch.arange(samples)})


def served_to(ranks: Ranks, dataset: Any, batches: int) -> Iterator[Any]:
    """The first shares of a rank, by the stream that it would have."""
    loop = stream(dataset)
    for _ in range(batches):
        with train_with(ranks):
            share = next(loop)
        yield share


def cuts(size: int) -> list[slice]:
    """Where a batch is cut into the shares of all ranks, which together are the batch."""
    rows = [Ranks(rank, RANKS).rows(size, of=BATCH) for rank in range(RANKS)]
    assert rows[0].start == 0
    assert rows[-1].stop == size
    assert all(one.stop == other.start for one, other in pairwise(rows))
    return rows


@given(st.integers(1, 5000), st.integers(1, 5000), st.integers(0, 5000))
def test_shares_are_neighbours_that_make_up_the_batch(ranks: int, of: int, missing: int) -> None:
    size = max(of - missing, 0)
    rows = [Ranks(rank, ranks).rows(size, of=of) for rank in (0, ranks // 2, ranks - 1)]
    assert rows[0].start == 0
    assert rows[-1].stop == size
    middle = ranks // 2
    if middle:
        assert Ranks(middle - 1, ranks).rows(size, of=of).stop == rows[1].start
    assert all(0 <= each.stop - each.start <= -(-of // ranks) for each in rows)


def test_a_share_has_a_part_of_the_batch_however_many_ranks_there_are() -> None:
    for size in (BATCH, LAST_BATCH):
        sizes = [rows.stop - rows.start for rows in cuts(size)]
        assert sum(sizes) == size
        assert max(sizes) == BATCH // RANKS


@pytest.mark.slow
def test_a_thousand_ranks_have_each_sample_once_a_pass_and_the_steps_of_one_process() -> None:
    alone = stream(columns(SAMPLES))
    some = (LAST_BATCH * RANKS // BATCH - 1, RANKS - 1)  # the last batch has nothing for one
    of_some = [served_to(Ranks(rank, RANKS), columns(SAMPLES), PASSES * BATCHES) for rank in some]
    cut = {size: cuts(size) for size in (BATCH, LAST_BATCH)}
    first_samples = set()
    for _ in range(PASSES):
        seen = torch.zeros(SAMPLES, dtype=torch.uint8)
        for number, batch in enumerate(islice(alone, BATCHES)):
            whole = batch["idx"]
            if number == 0:
                first_samples.add(tuple(whole[:8].tolist()))
            shares = cut[len(whole)]
            for rank, served in zip(some, of_some, strict=True):
                share, own = next(served), whole[shares[rank]]
                assert share.share.whole == len(whole)
                assert share.share.is_borrowed == (not len(own))
                assert torch.equal(share["idx"], own if len(own) else whole[shares[0]])
            seen[whole] += 1
        assert bool((seen == 1).all())
    assert len(first_samples) == PASSES  # each pass has an order of its own


@pytest.mark.slow
def test_all_of_a_thousand_ranks_are_served_what_one_process_is() -> None:
    samples, batches = 2 * BATCH + LAST_BATCH, 3
    data = columns(samples)
    shares = [list(served_to(Ranks(rank, RANKS), data, batches)) for rank in range(RANKS)]
    for number, batch in enumerate(islice(stream(data), batches)):
        own = [rank[number] for rank in shares if not rank[number].share.is_borrowed]
        assert torch.equal(torch.cat([share["idx"] for share in own]), batch["idx"])
        assert sum(share.num_samples for share in own) == len(batch["idx"])


@pytest.mark.parametrize("ranks", [2, 64, RANKS])
def test_what_a_rank_does_does_not_grow_with_the_ranks(
    ranks: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    ordered = []

    def counted(*args: Any) -> torch.Tensor:
        ordered.append(args[-1])
        return shuffled(*args)

    monkeypatch.setattr(streams, "shuffled", counted)
    samples, batches = 2 * BATCH + LAST_BATCH, 3
    for rank in (0, ranks - 1):
        data = Counted(samples)
        ordered.clear()
        served = list(served_to(Ranks(rank, ranks), data, batches))
        # The order of a pass, once, as one process makes it; and the samples of the share.
        assert ordered == [samples]
        assert data.fetched == sum(share.num_samples for share in served)
        assert data.fetched <= batches * -(-BATCH // ranks)
