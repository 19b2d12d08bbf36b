"""Accumulators: collect the outputs of a model over many batches."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar, Self

import numpy as np
import torch

from legoloop.core.errors import ArgumentError, DataError
from legoloop.core.rng import preserved_rng
from legoloop.core.suggestions import did_you_mean


class Accumulator(ABC):
    """Takes the values of one batch after another and returns the result of them all.

    Subclass it, or bring any class with ``add`` and ``result``. With ``merge``, several ranks share
    an evaluation; without it, each of them makes all of it. ``takes_all = True`` says that one
    among several in a CompositeAccumulator is given all the values, not those of its own name.

    >>> class Largest(Accumulator):
    ...     best = float("-inf")
    ...     def add(self, values): self.best = max(self.best, float(values.max()))
    ...     def result(self): return self.best
    >>> largest = Largest()
    >>> largest.add(np.array([1.0, 3.0])); largest.add(np.array([2.0]))
    >>> largest.result()
    3.0
    """

    takes_all: ClassVar[bool] = False

    @abstractmethod
    def add(self, values: Any) -> None:
        """Add the values of one batch."""

    @abstractmethod
    def result(self) -> Any:
        """The result of all the values so far."""

    def merge(self, other: Self) -> Self:
        """A new accumulator, as if the batches of this one and then the other's were added to it.

        Associative; neither of the two is changed. Raises NotImplementedError for an accumulator
        that does not define it.
        """
        raise NotImplementedError(f"{type(self).__name__} does not define merge(other)")


class NumpyAccumulator(Accumulator):
    """One array of all the values, the batches concatenated along their first dimension.

    The array grows in place, by a quarter when it is full, so that it is never held twice. Its data
    type is what ``np.result_type`` gives for those of all batches.

    Raises DataError for values without a sample dimension, or whose other dimensions differ within
    a batch or from batch to batch.

    >>> accumulator = NumpyAccumulator()
    >>> accumulator.add(torch.tensor([1, 2]))
    >>> accumulator.add(torch.tensor([3]))
    >>> accumulator.result()
    array([1, 2, 3])
    """

    def __init__(self) -> None:
        self._array: np.ndarray[Any, Any] | None = None
        self._dtypes: set[np.dtype[Any]] = set()
        self._length = 0
        self._handed_out = False

    def add(self, values: Any) -> None:
        """Add a tensor, an array or a list of one entry per sample."""
        try:
            new = as_array(values)
        except ValueError as error:
            raise DataError(
                "entries have different shapes in one batch; a ListAccumulator takes them"
            ) from error
        if new.ndim == 0:
            raise DataError("there is one value for the whole batch, not one per sample")
        self._append(new, {new.dtype})

    def result(self) -> np.ndarray[Any, Any]:
        """The array, to be read only: several readers share it; empty if nothing was added."""
        if self._array is None:
            return np.empty(0)
        self._array.resize((self._length, *self._array.shape[1:]), refcheck=False)
        self._handed_out = True
        shared = self._array.view()
        shared.flags.writeable = False
        return shared

    def merge(self, other: NumpyAccumulator) -> NumpyAccumulator:
        """A new accumulator with the samples of this one and then the other's.

        >>> first, second = NumpyAccumulator(), NumpyAccumulator()
        >>> first.add([1, 2]); second.add([3.5])
        >>> first.merge(second).result()
        array([1. , 2. , 3.5])
        """
        merged = NumpyAccumulator()
        for accumulator in (self, other):
            if accumulator._array is not None:
                merged._append(accumulator._array[: accumulator._length], accumulator._dtypes)
        return merged

    def _append(self, new: np.ndarray[Any, Any], dtypes: set[np.dtype[Any]]) -> None:
        array = self._with_room_for(new, dtypes)
        array[self._length : self._length + len(new)] = new
        self._length += len(new)

    def _with_room_for(
        self, new: np.ndarray[Any, Any], dtypes: set[np.dtype[Any]]
    ) -> np.ndarray[Any, Any]:
        if self._array is None:
            self._array, self._dtypes = np.empty(new.shape, new.dtype), set(dtypes)
            return self._array
        if new.shape[1:] != self._array.shape[1:]:
            raise DataError(
                f"entries have shape {new.shape[1:]} in one batch and {self._array.shape[1:]} in "
                "those before; a ListAccumulator takes both"
            )
        if not dtypes <= self._dtypes:
            self._dtypes |= dtypes
            self._array = self._array.astype(np.result_type(*self._dtypes), copy=False)
        if self._length + len(new) > len(self._array):
            if self._handed_out:  # growing in place would pull the memory from under its views
                self._array, self._handed_out = self._array.copy(), False
            capacity = max(len(self._array) * 5 // 4, self._length + len(new))
            self._array.resize((capacity, *self._array.shape[1:]), refcheck=False)
        return self._array


class ListAccumulator(Accumulator):
    """A list with one entry per sample, whatever the entries are.

    >>> accumulator = ListAccumulator()
    >>> accumulator.add(["a", "b"])
    >>> accumulator.result()
    ['a', 'b']
    """

    def __init__(self) -> None:
        self._items: list[Any] = []

    def add(self, values: Any) -> None:
        """Add a list, a tuple, a tensor or an array of one entry per sample."""
        self._items.extend(
            map(_copied, values)
            if isinstance(values, list | tuple)
            else as_array(values).copy()  # a model may write its next outputs into the same memory
        )

    def result(self) -> list[Any]:
        """The list."""
        return list(self._items)

    def merge(self, other: ListAccumulator) -> ListAccumulator:
        """A new accumulator with the entries of this one and then the other's."""
        merged = ListAccumulator()
        merged._items = [*self._items, *other._items]
        return merged


class CompositeAccumulator(Accumulator):
    """A dict of accumulators, each given the values of its own name.

    The values are those of the batch and of the model's outputs; where both have a name, the
    outputs'. Raises DataError if neither has it. One that ``takes_all`` is given all of them.

    Args:
        accumulators (Accumulator): by the names of what they collect, as keyword arguments.

    >>> accumulator = CompositeAccumulator(target=NumpyAccumulator())
    >>> accumulator.add({"target": torch.tensor([7]), "image": torch.zeros(1, 2, 2)})
    >>> accumulator.result()
    {'target': array([7])}
    """

    def __init__(self, **accumulators: Accumulator) -> None:
        self._accumulators = accumulators

    @property
    def parts(self) -> Sequence[Accumulator]:
        """The accumulators that it is made of."""
        return tuple(self._accumulators.values())

    def add(self, values: Mapping[str, Any]) -> None:
        """Add a dict with one entry per name."""
        for name, accumulator in self._accumulators.items():
            takes_all = getattr(accumulator, "takes_all", False)
            if name not in values and not takes_all:
                raise DataError(
                    f"accumulator '{name}': neither the batch nor the model's outputs have it; "
                    f"{did_you_mean(name, values)}"
                )
            try:
                accumulator.add(values if takes_all else values[name])
            except DataError as error:
                raise DataError(f"accumulator '{name}': {error}") from None

    def result(self) -> dict[str, Any]:
        """A dict with the result of each."""
        return {name: accumulator.result() for name, accumulator in self._accumulators.items()}

    def merge(self, other: CompositeAccumulator) -> CompositeAccumulator:
        """A new accumulator of those of the two, merged by name.

        Raises ArgumentError if their names are not the same.
        """
        names, others = sorted(self._accumulators), sorted(other._accumulators)
        if names != others:
            raise ArgumentError(
                f"collects {', '.join(others)}, but this one {', '.join(names)}", argument="other"
            )
        return CompositeAccumulator(
            **{
                name: own.merge(other._accumulators[name])
                for name, own in self._accumulators.items()
            }
        )


class UnionAccumulator(Accumulator):
    """Several accumulators that are given the same values; their results, dicts, become one.

    Args:
        accumulators (Accumulator): their results are dicts without a common key.

    Raises DataError if two of the results have the same key.

    >>> accumulator = UnionAccumulator(
    ...     CompositeAccumulator(a=NumpyAccumulator()), CompositeAccumulator(b=NumpyAccumulator())
    ... )
    >>> accumulator.add({"a": torch.tensor([1]), "b": torch.tensor([2])})
    >>> accumulator.result()
    {'a': array([1]), 'b': array([2])}
    """

    def __init__(self, *accumulators: Accumulator) -> None:
        self._accumulators = accumulators

    @property
    def parts(self) -> Sequence[Accumulator]:
        """The accumulators that it is made of."""
        return self._accumulators

    def add(self, values: Any) -> None:
        """Add the values to each."""
        for accumulator in self._accumulators:
            accumulator.add(values)

    def result(self) -> dict[str, Any]:
        """All the names of all of them."""
        union: dict[str, Any] = {}
        for accumulator in self._accumulators:
            result = accumulator.result()
            if twice := sorted(union.keys() & result.keys()):
                raise DataError(f"two accumulators of a union give '{twice[0]}'")
            union.update(result)
        return union

    def merge(self, other: UnionAccumulator) -> UnionAccumulator:
        """A new union of the accumulators of the two, merged by position.

        Raises ArgumentError if their numbers are not the same.
        """
        number, others = len(self._accumulators), len(other._accumulators)
        if number != others:
            raise ArgumentError(
                f"has {others} accumulators, but this union {number}", argument="other"
            )
        pairs = zip(self._accumulators, other._accumulators, strict=True)
        return UnionAccumulator(*(own.merge(others_own) for own, others_own in pairs))


class CompositeFactory:
    """Makes a fresh CompositeAccumulator for every evaluation, from a factory for each name.

    Args:
        factories (Callable[[], Accumulator] | None): by name, as keyword arguments; None: nothing
            is collected under this name, so that ``prediction: null`` takes an entry away.

    Raises ArgumentError for one that makes nothing when it is called: each is tried at once, so
    that a mistake does not wait for the first evaluation.

    >>> factory = CompositeFactory(target=NumpyAccumulator)
    >>> factory() is factory()
    False
    """

    def __init__(self, **factories: Callable[[], Accumulator] | None) -> None:
        self._factories = {name: make for name, make in factories.items() if make is not None}
        with preserved_rng():
            for name, make in self._factories.items():
                _try(name, make)

    def __call__(self) -> CompositeAccumulator:
        """A fresh CompositeAccumulator."""
        return CompositeAccumulator(**{name: make() for name, make in self._factories.items()})


def _try(name: str, make: Callable[[], Accumulator]) -> None:
    try:
        make()
    except ArgumentError as error:
        raise error.nested(name) from error
    except TypeError as error:
        raise ArgumentError(f"makes no accumulator: {error}", argument=name) from error


def can_merge(accumulator: Any) -> bool:
    """Whether an accumulator, and each that it is made of, defines ``merge``.

    >>> can_merge(CompositeAccumulator(idx=NumpyAccumulator()))
    True
    """
    parts: Iterable[Any] = getattr(accumulator, "parts", ())
    own = getattr(type(accumulator), "merge", Accumulator.merge)
    can_this: bool = getattr(accumulator, "can_merge", True)
    return own is not Accumulator.merge and can_this and all(map(can_merge, parts))


def merged(accumulators: Sequence[Any]) -> Any:
    """One accumulator, as if the batches of all of them had been added to it in order.

    >>> accumulators = [NumpyAccumulator() for _ in range(3)]
    >>> for number, accumulator in enumerate(accumulators): accumulator.add([number])
    >>> merged(accumulators).result()
    array([0, 1, 2])
    """
    while len(accumulators) > 1:  # neighbours first, so that an entry is copied a few times only
        odd = accumulators[-1:] if len(accumulators) % 2 else []
        pairs = zip(accumulators[::2], accumulators[1::2], strict=False)
        accumulators = [*(one.merge(other) for one, other in pairs), *odd]
    return accumulators[0]


def _copied(entry: Any) -> Any:
    return entry.clone() if isinstance(entry, torch.Tensor) else entry


def as_array(values: Any) -> np.ndarray[Any, Any]:
    """A tensor (bfloat16 as float32), an array, a number or a list, as an array.

    >>> as_array(torch.tensor([1.5], dtype=torch.bfloat16)).dtype
    dtype('float32')
    >>> as_array(["a", "bc"]).dtype
    dtype('O')
    """
    if isinstance(values, torch.Tensor):
        numbers = values.float() if values.dtype == torch.bfloat16 else values
        return numbers.numpy(force=True)
    array: np.ndarray[Any, Any] = np.asarray(values)
    return array.astype(object) if array.dtype.kind in "US" else array
