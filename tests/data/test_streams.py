from __future__ import annotations

from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import IterableDataset

from legoloop.core.errors import DataError
from legoloop.data import streams as loops
from legoloop.data.loader_config import LoaderConfig
from legoloop.data.loaders import Loader
from legoloop.data.streams import BatchStream
from tests.data.samples import EVERY_KIND, NoisyRecords, Records, columns, flat, plain


def a_loop(data=None, name="train", seed=0, **config):
    return BatchStream(data or Records(), name, seed, LoaderConfig(**{"batch_size": 4, **config}))


def indices(loop, count):
    return [next(loop)["idx"].tolist() for _ in range(count)]


def test_a_pass_holds_every_sample_once_and_its_last_batch_is_short():
    batches = indices(a_loop(), 3)
    assert [len(batch) for batch in batches] == [4, 4, 2]
    assert sorted(flat(batches)) == list(range(10))


def test_every_pass_has_an_order_of_its_own():
    loop = a_loop(Records(50), batch_size=50)
    first, second = indices(loop, 2)
    assert sorted(first) == sorted(second)
    assert first != second


@pytest.mark.parametrize("other", [{"name": "val"}, {"seed": 1}])
def test_the_order_is_a_function_of_seed_and_name(other):
    assert indices(a_loop(), 9) == indices(a_loop(), 9)
    assert indices(a_loop(), 9) != indices(a_loop(**other), 9)


def test_the_order_does_not_depend_on_the_batch_size_or_the_kind_of_data_set():
    in_fours = flat(indices(a_loop(), 6))
    assert flat(indices(a_loop(batch_size=3), 8)) == in_fours
    assert flat(indices(a_loop(columns()), 6)) == in_fours


def test_without_shuffling_it_is_the_order_of_the_data_set():
    loop = a_loop(shuffle=False)
    assert indices(loop, 4) == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9], [0, 1, 2, 3]]


def test_noise_differs_from_pass_to_pass():
    loop = a_loop(NoisyRecords(), batch_size=10, shuffle=False)
    assert next(loop)["noise"].tolist() != next(loop)["noise"].tolist()


def test_the_position_counts_the_batches_handed_over():
    loop = a_loop(num_workers=1)
    assert loop.state_dict()["position"] == 0
    next(loop), next(loop)
    assert loop.state_dict()["position"] == 2
    assert iter(loop) is loop
    loop.close()


@settings(deadline=None)
@given(
    st.sampled_from(sorted(EVERY_KIND)),
    st.integers(1, 12),
    st.integers(1, 13),
    st.integers(0, 30),
    st.integers(0, 30),
    st.booleans(),
)
def test_going_to_a_position_is_as_good_as_running_there(
    kind, samples, batch_size, position, elsewhere, shuffle
):
    def fresh():
        return a_loop(EVERY_KIND[kind](samples), batch_size=batch_size, shuffle=shuffle)

    ran, went = fresh(), fresh()
    for _ in range(position):
        next(ran)
    for _ in range(elsewhere):
        next(went)
    went.load_state_dict(ran.state_dict())
    assert plain(next(went) for _ in range(3)) == plain(next(ran) for _ in range(3))
    assert went.state_dict() == ran.state_dict()


@pytest.mark.slow
@settings(deadline=None)
@given(
    st.sampled_from(sorted(EVERY_KIND)),
    st.integers(1, 30),
    st.lists(st.tuples(st.integers(1, 13), st.integers(0, 12)), min_size=2, max_size=4),
)
def test_another_batch_size_goes_on_with_the_next_sample(kind, samples, attempts):
    """Through several changes, each after some batches of the size before."""

    def of(batch_size):
        return a_loop(EVERY_KIND[kind](samples), batch_size=batch_size)

    state, served = {"position": 0}, []
    for batch_size, batches in [*attempts, (5, 2 * samples)]:
        loop = of(batch_size)
        loop.load_state_dict(state)
        told, before = loop.num_batches_for(samples + 3, loop.position), len(served)
        sizes = [loop.batch_size_at(loop.position + n) for n in range(batches)]
        batches_served = plain(next(loop) for _ in range(batches))
        assert sizes == [len(batch["idx"]) for batch in batches_served]
        for number, batch in enumerate(batches_served, start=1):
            served += batch["idx"]
            if len(served) - before >= samples + 3:
                assert number >= told
        state = loop.state_dict()

    whole = of(1)
    assert served == [next(whole)["idx"].item() for _ in served]
    passes = len(served) // samples
    assert state["position"] == passes * -(-samples // 5) or len(served) % samples


def test_going_to_a_position_drops_what_workers_prefetched():
    loop = a_loop(NoisyRecords(), num_workers=2)
    first = plain(next(loop) for _ in range(4))
    loop.load_state_dict({"position": 1})
    assert plain(next(loop) for _ in range(3)) == first[1:]
    loop.close()


@pytest.mark.parametrize("position", [0, 10, 10_000_001])
def test_going_on_draws_one_order_and_fetches_one_batch_wherever_it_is(position):
    class TrainingProgress(Records):
        fetched = 0

        def __getitem__(self, item):
            self.fetched += 1
            return super().__getitem__(item)

    data = TrainingProgress()
    loop = a_loop(data)
    loop.load_state_dict({"position": position})
    with mock.patch.object(loops, "shuffled", wraps=loops.shuffled) as drawn:
        assert len(next(loop)["idx"]) == data.fetched
    assert drawn.call_count == 1
    assert loop.position == position + 1


@settings(deadline=None)
@given(st.integers(1, 12), st.integers(1, 13), st.integers(1, 30), st.integers(0, 7))
def test_the_first_samples_are_those_of_the_first_pass(samples, batch_size, wanted, position):
    loop = a_loop(NoisyRecords(samples), batch_size=batch_size)
    whole = plain(next(loop) for _ in range(-(-samples // batch_size)))
    loop.load_state_dict({"position": position})
    following = plain([next(loop)])
    loop.load_state_dict({"position": position})

    first = plain(loop.peek(wanted))
    for key in ("idx", "noise"):
        in_whole = [value for batch in whole for value in batch[key]]
        assert [value for batch in first for value in batch[key]] == in_whole[:wanted]
    assert loop.position == position
    assert plain([next(loop)]) == following


@pytest.mark.parametrize("wanted", [None, 10, 1000])
def test_the_first_samples_are_at_most_one_pass(wanted):
    loop = a_loop()
    assert [len(batch["idx"]) for batch in loop.peek(wanted)] == [4, 4, 2]


@pytest.mark.parametrize("num_workers", [0, 1])
def test_looking_at_the_first_samples_while_the_loop_runs(num_workers):
    alone = plain(next(loop) for loop in [a_loop(NoisyRecords())] for _ in range(4))
    loop = a_loop(NoisyRecords(), num_workers=num_workers)
    found = []
    for _ in range(4):
        found += plain([next(loop)])
        list(loop.peek(6))
    loop.close()
    assert found == alone


def test_it_knows_the_samples_of_a_pass():
    assert a_loop(Records(7)).samples == 7


class Endless(IterableDataset):
    def __iter__(self): ...


class WithLength(Endless):
    def __len__(self):
        return 3


@pytest.mark.parametrize("dataset", [Endless(), WithLength(), iter([1])])
@pytest.mark.parametrize("source", [BatchStream, Loader])
def test_refuses_a_data_set_that_cannot_be_indexed(source, dataset):
    message = f"data set 'val' is a {type(dataset).__name__}, which cannot be indexed: give it __l"
    with pytest.raises(DataError, match=message):
        source(dataset, "val", 0, LoaderConfig())
