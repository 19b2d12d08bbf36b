"""The random number generators of the process: python's, numpy's and torch's."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from contextlib import contextmanager
from numbers import Integral
from typing import Any

import numpy as np
import torch

from legoloop.core.errors import ArgumentError

_last_seed: int | None = None


def seed(number: int) -> None:
    """Seed python, numpy and torch, and remember the seed for the components made afterwards.

    Call it before the model is built: the data sets and loaders that ship draw nothing from these
    generators, so the model is the first that does. The host seeds them again when the training
    starts.

    Args:
        number (int): the seed, 0 <= number < 2**32.

    Raises ArgumentError for any other number.

    >>> seed(1)
    >>> first = torch.rand(1)
    >>> seed(1)
    >>> bool(first == torch.rand(1))
    True
    """
    global _last_seed
    if not isinstance(number, Integral) or not 0 <= number < 2**32:
        raise ArgumentError(
            f"is {number!r}", argument="seed", remedy=f"give a whole number from 0 to {2**32 - 1}"
        )
    _last_seed = int(number)
    seed_generators(_last_seed)


def last_seed() -> int | None:
    """The number last given to ``seed``, or None."""
    return _last_seed


def seed_generators(number: int | None) -> None:
    """Seed python, numpy and torch; None leaves them as they are."""
    if number is None:
        return
    random.seed(number)
    np.random.seed(number)
    torch.manual_seed(number)


def reseed_generators(number: int) -> None:
    """As ``seed_generators``, in every step: 8 µs, where torch takes 300 µs without a GPU.

    ``torch.manual_seed`` also notes, with a stack trace, the seed of each kind of device that the
    process has not used yet; here such a device keeps the seed that it was given before.

    >>> reseed_generators(1)
    >>> first = torch.rand(1)
    >>> seed_generators(1)
    >>> bool(first == torch.rand(1))
    True
    """
    random.seed(number)
    np.random.seed(number)
    torch.default_generator.manual_seed(number)
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        torch.cuda.manual_seed_all(number)


def derived_seed(*components: object) -> int:
    """A 63-bit seed that is a function of the components alone, the same in every process.

    >>> derived_seed(0, "train", 7) == derived_seed(0, "train", 7) != derived_seed(0, "val", 7)
    True
    """
    digest = hashlib.blake2b(repr(components).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def get_rng_state(raw: dict[str, Any] | None = None) -> dict[str, Any]:
    """The state of every generator, as numbers, strings, lists and tensors.

    Args:
        raw: what ``preserved_rng`` preserves; None: the state now.
    """
    raw = _raw_state() if raw is None else raw
    version, words, gauss = raw["python"]
    bits, keys, position, has_gauss, cached = raw["numpy"]
    return raw | {
        "python": {"version": version, "words": torch.tensor(words, device="cpu"), "gauss": gauss},
        "numpy": {
            "bits": bits,
            "keys": torch.from_numpy(np.asarray(keys).astype(np.int64)),
            "position": int(position),
            "has_gauss": int(has_gauss),
            "cached": float(cached),
        },
    }


def set_rng_state(state: dict[str, Any]) -> None:
    """Restore what ``get_rng_state`` gave."""
    python, numpy = state["python"], state["numpy"]
    keys = numpy["keys"].numpy().astype(np.uint32)
    _restore_raw(
        state
        | {
            "python": (python["version"], _words(python["words"]), python["gauss"]),
            "numpy": (
                numpy["bits"], keys, numpy["position"], numpy["has_gauss"], numpy["cached"]
            ),
        }
    )  # fmt: skip


def _words(words: Any) -> tuple[int, ...]:
    """States of earlier versions have them as a list."""
    return tuple(words.tolist() if isinstance(words, torch.Tensor) else words)


@contextmanager
def preserved_rng() -> Iterator[dict[str, Any]]:
    """Restores every generator at the end, whatever is drawn inside; what is restored.

    >>> torch.manual_seed(0) is None
    False
    >>> with preserved_rng():
    ...     inside = torch.rand(1)
    >>> bool(inside == torch.rand(1))
    True
    """
    raw = _raw_state()
    try:
        yield raw
    finally:
        _restore_raw(raw)


@contextmanager
def preserved_seed() -> Iterator[None]:
    """As ``preserved_rng``; also what ``seed`` remembers is what it was.

    >>> with preserved_seed():
    ...     seed(12345)
    >>> last_seed() == 12345
    False
    """
    global _last_seed
    before = _last_seed
    try:
        with preserved_rng():
            yield
    finally:
        _last_seed = before


def _raw_state() -> dict[str, Any]:
    """The states as the generators themselves return them."""
    states: dict[str, Any] = {
        "python": random.getstate(),
        "numpy": np.random.get_state(legacy=True),
        "torch": torch.default_generator.get_state(),
    }
    if torch.cuda.is_available() and torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        states["cuda"] = torch.cuda.get_rng_state_all()
    return states


def _restore_raw(states: dict[str, Any]) -> None:
    random.setstate(states["python"])
    np.random.set_state(states["numpy"])
    torch.default_generator.set_state(states["torch"])
    if "cuda" in states and torch.cuda.is_available():
        torch.cuda.set_rng_state_all(states["cuda"])
