from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from legoloop.core.numpy_rng import NumpyState, numpy_state, set_numpy_state

USES = {
    "nothing": lambda: None,
    "uniform": np.random.rand,
    "normal": np.random.randn,  # drawn in pairs: the second waits for the next draw
    "three normals": lambda: np.random.randn(3),
    "integers": lambda: np.random.randint(10, size=5),
    "many": lambda: np.random.rand(1000),
    "seed": lambda: np.random.seed(3),
}
uses = st.lists(st.sampled_from(sorted(USES)), max_size=4)


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    before = np.random.get_state()
    yield
    np.random.set_state(before)


def told(state: NumpyState) -> tuple[object, ...]:
    return (state[0], state[1].tobytes(), *state[2:])  # type: ignore[attr-defined]


def use(names: list[str]) -> None:
    for name in names:
        USES[name]()


@given(rounds=st.lists(st.tuples(uses, uses), max_size=5))
def test_whatever_is_drawn_it_is_told_and_put_back(rounds: list[tuple[list[str], ...]]) -> None:
    np.random.seed(0)
    for outside, inside in rounds:
        use(outside)
        before = np.random.get_state()

        state = numpy_state()
        use(inside)
        set_numpy_state(state)

        assert told(state) == told(before) == told(np.random.get_state())


def test_a_state_from_elsewhere_is_taken() -> None:
    np.random.seed(1)
    saved = np.random.get_state()
    np.random.seed(2)
    numpy_state()

    set_numpy_state(saved)

    assert told(np.random.get_state()) == told(saved) == told(numpy_state())


def test_a_generator_that_nobody_used_is_not_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    np.random.seed(0)
    state = numpy_state()
    with monkeypatch.context() as taken_away:
        for name in ("get_state", "set_state"):
            taken_away.delattr(np.random, name)

        set_numpy_state(numpy_state())

        assert numpy_state() is state
