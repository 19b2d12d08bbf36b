from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from legoloop.data.positional_rng import PositionalRng, shuffled


def drawn():
    return random.gauss(0, 1), np.random.randn(), torch.randn(2).tolist()


def draws_at(seed, name, position):
    rng = PositionalRng(seed, name)
    with rng.active():
        rng.seed_for(position)
        return drawn()


@given(st.integers(0, 2**32 - 1), st.text(), st.integers(0, 9), st.integers(1, 50))
def test_an_order_is_a_permutation_and_a_function_of_seed_name_and_pass(seed, name, number, length):
    order = shuffled(seed, name, number, length)
    assert sorted(order.tolist()) == list(range(length))
    torch.rand(1)
    assert torch.equal(shuffled(seed, name, number, length), order)


@pytest.mark.parametrize("other", [(1, "train", 0), (0, "val", 0), (0, "train", 1)])
def test_another_seed_name_or_pass_is_another_order(other):
    assert not torch.equal(shuffled(0, "train", 0, 50), shuffled(*other, 50))


def test_draws_are_a_function_of_seed_name_and_position():
    draws = draws_at(0, "train", 7)
    drawn()
    assert draws_at(0, "train", 7) == draws
    for other in ((1, "train", 7), (0, "val", 7), (0, "train", 8)):
        assert all(a != b for a, b in zip(draws_at(*other), draws, strict=True))


def test_a_position_forgets_the_half_used_draws_of_the_one_before():
    rng = PositionalRng(0, "train")
    with rng.active():
        rng.seed_for(1)
        first = drawn()
        rng.seed_for(1)
        assert drawn() == first


@pytest.mark.parametrize("begun", [0, 1, 2])
@pytest.mark.parametrize("fails", [False, True])
def test_the_generators_of_the_process_are_left_as_they_were(begun, fails):
    random.seed(0), np.random.seed(0), torch.manual_seed(0)
    uninterrupted = [drawn() for _ in range(begun + 2)]
    random.seed(0), np.random.seed(0), torch.manual_seed(0)
    assert [drawn() for _ in range(begun)] == uninterrupted[:begun]
    rng = PositionalRng(0, "train")
    for _ in range(2):
        try:
            with rng.active():
                rng.seed_for(3)
                drawn()
                if fails:
                    raise ZeroDivisionError
        except ZeroDivisionError:
            pass
    assert [drawn() for _ in range(2)] == uninterrupted[begun:]


def test_one_thread_computes_inside_and_as_many_as_before_afterwards():
    torch.set_num_threads(2)
    with PositionalRng(0, "train").active():
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == 2


def test_it_travels_to_a_process_that_is_spawned():
    mine = PositionalRng(3, "train")
    made, arguments = mine.__reduce__()
    again = made(*arguments)
    drawn = [torch.rand(2, generator=rng.generator(7)) for rng in (mine, again)]
    assert torch.equal(*drawn)
