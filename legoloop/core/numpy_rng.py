"""The state of numpy's global generator, without the price if nobody drew from it.

numpy needs some 100 µs to hand out that state and to take it back, number by number, and states are
kept around all that only looks, be it every 50 steps. To compare the memory of the generator takes
less than one.
"""

from __future__ import annotations

from ctypes import string_at
from typing import Any

import numpy as np
from numpy.random import mtrand

NumpyState = tuple[str, Any, int, int, float]

_SIZE = 624 * 4 + 4
"""Bytes of the Mersenne twister: its words, and its position among them."""

_last: tuple[bytes, NumpyState] | None = None
"""The memory when last looked at, and the state that it stands for."""


def numpy_state() -> NumpyState:
    """What ``np.random.get_state()`` says; not to be written to.

    >>> np.random.seed(0)
    >>> state = numpy_state()
    >>> numpy_state() is state
    True
    >>> first = np.random.rand()
    >>> set_numpy_state(state)
    >>> first == np.random.rand()
    True
    """
    if _last is not None and _memory() == _last[0]:
        return _last[1]
    state: NumpyState = np.random.get_state(legacy=True)  # type: ignore[assignment]
    _remember(state)
    return state


def set_numpy_state(state: NumpyState) -> None:
    """Put back what ``numpy_state`` gave."""
    if _last is None or state is not _last[1] or _memory() != _last[0]:
        np.random.set_state(state)
        _remember(state)


def has_gauss(state: NumpyState) -> bool:
    """Whether a normal number is kept for the next draw; numpy makes two at a time."""
    return bool(state[3])


def _remember(state: NumpyState) -> None:
    """When a kept number is drawn, it leaves no trace in the memory."""
    global _last
    memory = _memory()
    _last = None if memory is None or has_gauss(state) else (memory, state)


def _memory() -> bytes | None:
    """None for a generator that somebody else put in the place of numpy's own."""
    generator: Any = mtrand.get_bit_generator()
    if type(generator) is not np.random.MT19937:
        return None
    return string_at(generator.ctypes.state_address, _SIZE)
