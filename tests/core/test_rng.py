from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from legoloop.core.errors import ArgumentError
from legoloop.core.rng import (
    derived_seed,
    get_rng_state,
    last_seed,
    preserved_rng,
    seed,
    seed_generators,
    set_rng_state,
)


def drawn():
    """A draw of every kind, among them those that keep a second number back for later."""
    return (
        random.random(),
        random.gauss(0, 1),
        np.random.rand(),
        np.random.randn(),
        torch.rand(1).item(),
        torch.randn(3).tolist(),
    )


def test_seed_is_remembered_and_makes_all_three_repeat():
    seed(3)
    first = drawn()
    assert last_seed() == 3
    seed(3)
    assert drawn() == first
    seed_generators(3)
    assert drawn() == first
    seed(4)
    assert all(a != b for a, b in zip(drawn(), first, strict=True))


def test_seeding_with_none_leaves_the_generators_alone():
    seed(3)
    state = get_rng_state()
    expected = drawn()
    set_rng_state(state)
    seed_generators(None)
    assert drawn() == expected


@pytest.mark.parametrize("number", [-1, 2**32, 1.5, "7", None])
def test_no_seed_changes_nothing(number):
    before = last_seed()
    with pytest.raises(ArgumentError) as refused:
        seed(number)
    assert str(refused.value) == f"seed is {number!r}; give a whole number from 0 to 4294967295"
    assert last_seed() == before


def test_whole_numbers_of_numpy_are_seeds():
    seed(np.int64(2))
    assert type(last_seed()) is int


@given(st.integers(0, 5))
def test_a_state_put_back_draws_the_same(earlier):
    for _ in range(earlier):
        random.gauss(0, 1), np.random.randn(), torch.rand(1)
    state = get_rng_state()
    first = drawn()
    set_rng_state(state)
    assert drawn() == first


def test_a_state_survives_torch_save_with_weights_only(tmp_path):
    np.random.randn(), random.gauss(0, 1)
    torch.save(get_rng_state(), tmp_path / "rng")
    first = drawn()
    set_rng_state(torch.load(tmp_path / "rng", weights_only=True))
    assert drawn() == first


def test_preserved_rng_holds_through_an_error():
    seed(1)
    first = drawn()
    seed(1)
    with pytest.raises(ZeroDivisionError), preserved_rng():
        drawn()[0] / 0
    assert drawn() == first


@given(st.lists(st.integers(0, 2**40) | st.text(max_size=3), max_size=3))
def test_a_derived_seed_fits_every_generator(parts):
    number = derived_seed(*parts)
    assert 0 <= number < 2**63
    torch.Generator().manual_seed(number)


def test_a_derived_seed_tells_its_parts_apart():
    parts = [(0, "train", 1), (1, "train", 0), (0, "train1"), (0, "train", "1"), (0, "train", 1, 0)]
    assert len({derived_seed(*some) for some in parts}) == len(parts)


def test_a_derived_seed_is_the_same_in_every_process_and_release():
    assert derived_seed(0, "train", 7) == 3852732382943155726


DRAWS = {
    "uniform": np.random.rand,
    "normal": np.random.randn,  # drawn in pairs: the second waits for the next draw
    "three normals": lambda: np.random.randn(3),
    "python's normal": lambda: random.gauss(0, 1),
    "of torch": lambda: torch.rand(3),
    "many": lambda: (np.random.rand(1000), torch.rand(1000)),
    "seed": lambda: seed_generators(3),
}
draws = st.lists(st.sampled_from(sorted(DRAWS)), max_size=4)


@given(rounds=st.lists(st.tuples(draws, draws), max_size=5))
def test_whatever_is_drawn_inside_and_was_before_it_is_as_if_nothing_had_been(rounds):
    def told_after(looks):
        seed_generators(0)
        for outside, inside in rounds:
            for name in outside:
                DRAWS[name]()
            if looks:
                with preserved_rng():
                    for name in inside:
                        DRAWS[name]()
        return drawn()

    assert told_after(looks=True) == told_after(looks=False)
