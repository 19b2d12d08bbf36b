"""What a batch costs, counted, and that the quick ways give what the plain ones do."""

from __future__ import annotations

import errno
import multiprocessing
import random
from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode

from legoloop.core.errors import DataError
from legoloop.core.rng import derived_seed
from legoloop.data.datasets import ColumnDataset
from legoloop.data.loader_config import LoaderConfig
from legoloop.data.loaders import Loader
from legoloop.data.streams import BatchStream
from legoloop.zoo.augment import RandomTranspose
from tests.data.samples import Records, plain

IMAGES = torch.rand(23, 1, 3, 3)


class Operations(TorchDispatchMode):
    """Counts what torch is asked to do."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[str] = Counter()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.counts[func.overloadpacket.__name__] += 1
        return func(*args, **(kwargs or {}))


def no_list(tensor):
    raise AssertionError("a tensor became a list")


@pytest.mark.parametrize("shuffle", [True, False])
def test_a_batch_of_columns_is_one_selection_a_column_and_nothing_else(monkeypatch, shuffle):
    data = ColumnDataset({"x": torch.rand(50, 2), "y": torch.arange(50)})
    loop = BatchStream(data, "train", 0, LoaderConfig(5, shuffle=shuffle))
    next(loop)
    monkeypatch.setattr(torch.Tensor, "tolist", no_list)
    with Operations() as done:
        for _ in range(9):
            next(loop)
    columns = len(data.columns)
    assert done.counts == {"index_select": 9 * columns, "slice": 9}


def test_a_finite_batch_of_columns_makes_its_indices_and_selects(monkeypatch):
    data = ColumnDataset({"x": torch.rand(50, 2), "y": torch.arange(50)})
    monkeypatch.setattr(torch.Tensor, "tolist", no_list)
    with Operations() as done:
        for _ in Loader(data, "val", 0, LoaderConfig(5)):
            pass
    assert done.counts == {"index_select": 30, "arange": 10}


def test_a_transform_that_takes_a_generator_is_lent_no_global_one(monkeypatch):
    def lent(*given):
        raise AssertionError("the state of a global generator was taken")

    loop = BatchStream(
        ColumnDataset({"image": IMAGES}, RandomTranspose()), "train", 0, LoaderConfig(4)
    )
    monkeypatch.setattr(random, "getstate", lent)
    monkeypatch.setattr(np.random, "get_state", lent)
    before = torch.get_rng_state()
    for _ in range(9):
        next(loop)
    assert torch.equal(torch.get_rng_state(), before)


def as_by_hand(seed, number, batch_size, p):
    """The batches of one pass of a loop over ``IMAGES``, in the plainest way."""
    torch.manual_seed(derived_seed(seed, "train", "pass", number))
    order = torch.randperm(len(IMAGES)).tolist()
    for first in range(0, len(order), batch_size):
        images = torch.stack([IMAGES[index] for index in order[first : first + batch_size]])
        torch.manual_seed(derived_seed(seed, "train", number * len(IMAGES) + first))
        swapped = (torch.rand(len(images)) < p).view(-1, 1, 1, 1)
        image = torch.where(swapped, images.mT, images)
        yield {"image": image, "idx": torch.tensor(order[first : first + batch_size])}


class WithoutGenerator:
    """The same transform, which draws from the global generator."""

    def __init__(self, transform):
        self.transform = transform

    def __call__(self, batch):
        return self.transform(batch)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 99), st.integers(1, 30), st.floats(0, 1), st.booleans())
def test_batches_are_those_made_by_hand(seed, batch_size, p, with_generator):
    transform = RandomTranspose(p)
    if not with_generator:
        transform = WithoutGenerator(transform)
    loop = BatchStream(
        ColumnDataset({"image": IMAGES}, transform), "train", seed, LoaderConfig(batch_size)
    )
    for number in range(2):
        for wanted in as_by_hand(seed, number, batch_size, p):
            batch = next(loop)
            assert batch.keys() == wanted.keys()
            assert all(torch.equal(batch[key], wanted[key]) for key in batch)


class ListsOnly(Records):
    """Wants plain numbers, as users' data sets may."""

    is_deterministic = True

    def __getitems__(self, items):
        assert type(items) is list
        assert {type(item) for item in items} == {int}
        return {"idx": items}


class IntOnly(Records):
    def __getitem__(self, item):
        assert type(item) is int
        return super().__getitem__(item)


class OwnColumns(ColumnDataset):
    def __getitems__(self, items):
        assert type(items) is list
        return super().__getitems__(items)


@pytest.mark.parametrize("num_workers", [0, 1])
@pytest.mark.parametrize("data", [ListsOnly(6), IntOnly(6), OwnColumns({"x": torch.arange(6)})])
def test_data_sets_of_users_are_given_plain_numbers(data, num_workers):
    loop = BatchStream(data, "train", 0, LoaderConfig(4, num_workers))
    next(loop), next(loop)
    loop.close()
    assert len(list(Loader(data, "val", 0, LoaderConfig(4, num_workers)))) == 2


@pytest.mark.parametrize("num_workers", [0, 1])
def test_a_transform_that_gives_no_batch_is_refused(num_workers):
    def forgets_to_return(batch, generator):
        batch["x"] = batch["x"] + torch.rand(len(batch["x"]), generator=generator)

    data = ColumnDataset({"x": torch.rand(3)}, forgets_to_return)
    with pytest.raises(DataError, match=r"ColumnDataset.__getitems__ returned a NoneType; return"):
        list(Loader(data, "val", 0, LoaderConfig(2, num_workers)))


def with_noise(batch, generator):
    return {**batch, "noise": torch.rand(len(batch["idx"]), generator=generator)}


def test_a_generator_draws_the_same_in_workers():
    data = ColumnDataset({"x": torch.arange(10)}, with_noise)

    def a_pass(num_workers):
        return plain(Loader(data, "val", 0, LoaderConfig(4, num_workers)))

    assert a_pass(0) == a_pass(2)


def test_a_transform_that_wants_a_generator_may_be_asked_without_one_to_hand():
    data = ColumnDataset({"image": IMAGES}, RandomTranspose(p=1.0))
    assert torch.equal(data.__getitems__([3])["image"], IMAGES[[3]].mT)
    assert torch.equal(data[3]["image"], IMAGES[3].mT)


class Broken(Records):
    """Raises at one of its samples."""

    def __init__(self, error):
        super().__init__()
        self.error = error

    def __getitem__(self, item):
        if item == 7:
            raise self.error
        return super().__getitem__(item)


class BrokenWhole(Broken):
    def __getitems__(self, items):
        return [self[item] for item in items]


@pytest.mark.parametrize("num_workers", [0, 1])
@pytest.mark.parametrize("kind", [Broken, BrokenWhole])
def test_a_data_set_that_raises_stop_iteration_does_not_end_a_pass(kind, num_workers):
    loader = Loader(kind(StopIteration()), "val", 0, LoaderConfig(4, num_workers=num_workers))
    with pytest.raises(DataError, match=r"data set 'val', a Broken.*, raised StopIteration"):
        list(loader)


def test_the_sample_that_raised_is_told():
    with pytest.raises(KeyError) as raised:
        list(Loader(Broken(KeyError("x")), "val", 0, LoaderConfig(4)))
    assert raised.value.__notes__ == ["at sample 7 of data set 'val'"]


def test_the_sample_that_raised_in_a_worker_is_told():
    with pytest.raises(ValueError, match="at sample 7 of data set 'val'"):
        list(Loader(Broken(ValueError("x")), "val", 0, LoaderConfig(4, num_workers=1)))


@pytest.mark.parametrize("place", ["the start of the workers", "a batch of theirs"])
def test_shared_memory_that_is_full_is_named(monkeypatch, place):
    """An error while torch sends a batch is printed, and the batch waited for without end."""

    def fails(*given):
        raise OSError(errno.ENOSPC, "No space left on device")

    def fails_in_torch(*given):
        raise RuntimeError("unable to allocate shared memory(shm): No space left on device (28)")

    if place == "a batch of theirs":
        monkeypatch.setattr(torch.Tensor, "share_memory_", fails_in_torch)
    else:
        monkeypatch.setattr(multiprocessing, "Semaphore", fails)
    stream = BatchStream(Records(20), "train", 0, LoaderConfig(5, num_workers=1))
    with pytest.raises(DataError, match=r"'train' have no room in shared memory.*No space left"):
        next(stream)
