from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from legoloop.data.loader_config import LoaderConfig
from legoloop.data.loaders import Loader
from legoloop.data.streams import BatchStream
from tests.data.samples import EVERY_KIND, NoisyRecords, Records, flat, plain


@settings(deadline=None)
@given(st.sampled_from(sorted(EVERY_KIND)), st.integers(1, 12), st.integers(1, 13))
def test_a_pass_holds_every_sample_once_in_the_order_of_the_data_set(kind, samples, batch_size):
    loader = Loader(EVERY_KIND[kind](samples), "val", 0, LoaderConfig(batch_size))
    batches = [batch["idx"].tolist() for batch in loader]
    assert flat(batches) == list(range(samples))
    assert len(loader) == len(batches)
    assert {len(batch) for batch in batches[:-1]} <= {batch_size}
    assert loader.samples == samples


@pytest.mark.parametrize("kind", EVERY_KIND)
def test_each_pass_is_the_same(kind):
    loader = Loader(EVERY_KIND[kind](), "val", 0, LoaderConfig(4))
    first = plain(loader)
    begun = iter(loader)
    next(begun)
    assert plain(loader) == first
    assert plain(begun) == first[1:]


def test_noise_is_a_function_of_seed_and_name():
    def noise(name, seed):
        return plain(Loader(NoisyRecords(), name, seed, LoaderConfig(4)))

    assert noise("val", 0) == noise("val", 0)
    assert noise("val", 0) != noise("val", 1)
    assert noise("val", 0) != noise("test", 0)


def test_noise_is_not_that_of_the_loop_of_the_same_name():
    loop = BatchStream(NoisyRecords(), "val", 0, LoaderConfig(10, shuffle=False))
    (batch,) = Loader(NoisyRecords(), "val", 0, LoaderConfig(10))
    assert batch["noise"].tolist() != next(loop)["noise"].tolist()


def test_shuffling_is_for_loops():
    (batch,) = Loader(Records(), "val", 0, LoaderConfig(10, shuffle=True))
    assert batch["idx"].tolist() == list(range(10))
