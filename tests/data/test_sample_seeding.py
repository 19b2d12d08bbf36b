"""Only what is drawn from is seeded, and nobody can tell by the numbers."""

from __future__ import annotations

import random
from collections import Counter
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from legoloop.data.fetching import Fetcher
from legoloop.data.loader_config import LoaderConfig
from legoloop.data.loaders import Loader
from legoloop.data.positional_rng import GENERATORS, PositionalRng
from legoloop.data.sample_seeding import WATCHED, SampleSeeding
from tests.data.samples import NoisyRecords, Records, plain

DRAWS = {
    "torch": lambda: torch.rand(()).item(),
    "normal": lambda: torch.randn(3).tolist(),
    "python": random.random,
    "gauss": lambda: random.gauss(0, 1),
    "numpy": np.random.rand,
    "randn": np.random.randn,
    "reseeds numpy": lambda: np.random.seed(3),
    "reseeds python": lambda: random.seed("a name"),
    "reads torch": torch.initial_seed,
}


def draw(names):
    return [DRAWS[name]() for name in names]


def each_seeded(rng, items, make):
    """What each sample draws, and a batch after them, with everything seeded for each."""
    with rng.active():
        found = []
        for position, item in enumerate(items):
            rng.seed_for(position)
            found.append(make(item))
        return found, draw(DRAWS)


@settings(deadline=None)
@given(
    st.lists(st.sets(st.sampled_from(sorted(DRAWS))), min_size=1, max_size=WATCHED * 3),
    st.integers(1, WATCHED * 3),
)
def test_samples_draw_as_if_all_generators_were_seeded_for_each(drawn_by, batch_size):
    rng = PositionalRng(0, "train")
    expected, after = each_seeded(rng, drawn_by, draw)
    seeding = SampleSeeding(rng)
    found = []
    for first in range(0, len(drawn_by), batch_size):
        with rng.active():
            found += seeding.map(draw, first, drawn_by[first : first + batch_size])
            last = draw(DRAWS)  # as a collate does
    assert found == expected
    assert last == after


@pytest.fixture
def seeded(monkeypatch):
    """How often each generator has been seeded."""
    counts: Counter[str] = Counter()
    by_rng = PositionalRng.seed

    def seed(rng, number, names=GENERATORS):
        counts.update(names)
        by_rng(rng, number, names)

    monkeypatch.setattr(PositionalRng, "seed", seed)
    return counts


@pytest.mark.parametrize("drawn", [(), ("torch",), ("python",), ("numpy",), ("python", "numpy")])
def test_only_what_is_drawn_from_is_seeded(seeded, drawn):
    rng, samples = PositionalRng(0, "train"), 200
    seeding = SampleSeeding(rng)
    with rng.active():
        seeding.map(draw, 0, [drawn] * WATCHED)
        seeded.clear()
        seeding.map(draw, WATCHED, [drawn] * samples)
    for name in GENERATORS - {"torch"}:
        # Once before a batch; and where none is drawn from it, to look, and for the collate.
        assert seeded[name] == (samples + 1 if name in drawn else 3)
    assert seeded["torch"] == samples + 1


def test_a_batch_is_made_again_where_a_sample_draws_what_none_has_before():
    calls: Counter[int] = Counter()

    def make(item):
        calls[item] += 1
        return np.random.rand() if item == 30 else None

    rng = PositionalRng(0, "train")
    seeding = SampleSeeding(rng)
    with rng.active():
        for first in (0, WATCHED, 2 * WATCHED):
            seeding.map(make, first, range(first, first + WATCHED))
    twice = {item for item, number in calls.items() if number == 2}
    assert twice == set(range(WATCHED, 2 * WATCHED))
    assert calls.total() == 4 * WATCHED


def test_an_error_that_wrong_numbers_led_to_is_not_raised():
    rng = PositionalRng(0, "train")
    with rng.active():
        right = {}
        for position in range(2 * WATCHED):
            rng.seed_for(position)
            right[position] = random.random()

    def make(item):
        if item >= WATCHED and random.random() != right[item]:
            raise AssertionError("drew what is not its own")
        return item

    seeding = SampleSeeding(rng)
    with rng.active():
        assert seeding.map(make, 0, range(2 * WATCHED)) == list(range(2 * WATCHED))


@pytest.mark.parametrize("at", [0, WATCHED - 1, WATCHED, 2 * WATCHED])
def test_an_error_of_a_sample_is_raised(at):
    def make(item):
        if item == at:
            raise KeyError("mine")

    rng = PositionalRng(0, "train")
    with rng.active(), pytest.raises(KeyError, match="mine"):
        SampleSeeding(rng).map(make, 0, range(3 * WATCHED))


class Sometimes(Records):
    """Draws from numpy's generator for one of its samples alone."""

    def __getitem__(self, item):
        noise = np.random.randn() if item == self.samples - 5 else 0.0
        return {**super().__getitem__(item), "noise": noise}


def with_noise(records):
    drawn = [random.random(), np.random.rand(), torch.rand(()).item()]
    return {"x": torch.tensor([record["x"] for record in records]), "noise": torch.tensor(drawn)}


@pytest.mark.parametrize("kind", [Records, NoisyRecords, Sometimes])
@pytest.mark.parametrize("collate", [None, with_noise])
def test_workers_learn_it_for_themselves(kind, collate):
    given = {} if collate is None else {"collate": collate}
    passes = [
        plain(Loader(kind(90), "val", 0, LoaderConfig(25, num_workers=workers, **given)))
        for workers in (0, 2)
    ]
    assert passes[0] == passes[1]


def test_the_generators_outside_are_left_as_they_were():
    rng = PositionalRng(0, "train")
    for seed in (
        partial(random.seed, 1),
        partial(np.random.seed, 1),
        partial(torch.manual_seed, 1),
    ):
        seed()
    expected = draw(("python", "numpy", "torch"))
    for seed in (
        partial(random.seed, 1),
        partial(np.random.seed, 1),
        partial(torch.manual_seed, 1),
    ):
        seed()
    fetcher = Fetcher(Sometimes(90), "train", rng, LoaderConfig(25))
    for first in range(0, 75, 25):
        list(fetcher.iterate([(first, torch.arange(first, first + 25))]))
    assert draw(("python", "numpy", "torch")) == expected
