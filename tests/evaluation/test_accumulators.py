from __future__ import annotations

import tracemalloc
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import legoloop as ll
from legoloop.core.errors import ArgumentError

DTYPES = [np.float32, np.float64, np.int64, np.int32, np.uint8, np.bool_]


@st.composite
def an_array_and_its_split(draw: st.DrawFn) -> tuple[np.ndarray[Any, Any], list[int]]:
    shape = draw(hnp.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=9))
    array = draw(hnp.arrays(draw(st.sampled_from(DTYPES)), shape))
    cuts = st.lists(st.integers(0, len(array)), max_size=6).map(sorted)
    return array, draw(cuts)


def gathered(parts: list[Any]) -> np.ndarray[Any, Any]:
    accumulator = ll.NumpyAccumulator()
    for part in parts:
        accumulator.add(part)
    return accumulator.result()


@given(an_array_and_its_split(), st.booleans())
def test_any_split_of_an_array_gives_the_array(
    given: tuple[np.ndarray[Any, Any], list[int]], as_tensors: bool
) -> None:
    array, cuts = given
    parts = np.split(array, cuts)

    result = gathered([torch.from_numpy(part) if as_tensors else part for part in parts])

    assert result.dtype == array.dtype
    np.testing.assert_array_equal(result, array)


@given(st.lists(hnp.arrays(st.sampled_from(DTYPES), 3), min_size=2, max_size=4))
def test_types_are_promoted_as_concatenate_does(parts: list[np.ndarray[Any, Any]]) -> None:
    expected = np.concatenate(parts)

    result = gathered(parts)

    assert result.dtype == expected.dtype
    np.testing.assert_array_equal(result, expected)


@given(hnp.arrays(np.float32, hnp.array_shapes(min_dims=2, max_dims=3)), st.integers(1, 3))
def test_memory_order_of_the_batches_does_not_matter(
    array: np.ndarray[Any, Any], times: int
) -> None:
    strange = [array.T, array[::-1], array[:, ::2], np.broadcast_to(array[:1], array.shape)]
    for part in strange:
        np.testing.assert_array_equal(gathered([part] * times), np.concatenate([part] * times))


def test_transposed_outputs_of_a_model_are_not_scrambled() -> None:
    outputs = torch.arange(6.0).reshape(2, 3).t()
    np.testing.assert_array_equal(gathered([outputs, outputs]), torch.cat([outputs] * 2).numpy())


def test_what_was_handed_out_stays_as_it_was() -> None:
    accumulator = ll.NumpyAccumulator()
    accumulator.add(torch.arange(4))
    first = accumulator.result()
    view = first[1:3]
    for _ in range(50):
        accumulator.add(torch.full((1000,), 7))

    assert first.tolist() == [0, 1, 2, 3]
    assert view.tolist() == [1, 2]
    assert accumulator.result()[:5].tolist() == [0, 1, 2, 3, 7]


def test_takes_a_copy_of_what_it_is_given() -> None:
    buffer = torch.zeros(2)
    accumulator = ll.NumpyAccumulator()
    accumulator.add(buffer)
    buffer.fill_(9)
    assert accumulator.result().tolist() == [0, 0]


def test_bfloat16_and_tensors_with_gradients() -> None:
    values = torch.tensor([1.5, 2.25], requires_grad=True)
    assert gathered([values * 2, values]).tolist() == [3.0, 4.5, 1.5, 2.25]
    result = gathered([values.to(torch.bfloat16)])
    assert result.dtype == np.float32
    assert result.tolist() == [1.5, 2.25]


def test_strings_of_any_length_keep_all_their_letters() -> None:
    assert gathered([["a", "bc"], ["a longer one"], np.array(["é"])]).tolist() == [
        "a", "bc", "a longer one", "é",
    ]  # fmt: skip


def test_nothing_added_is_an_empty_array() -> None:
    assert len(ll.NumpyAccumulator().result()) == 0


def test_is_never_held_twice() -> None:
    batch = np.ones((1000, 100), dtype=np.float32)
    accumulator = ll.NumpyAccumulator()
    tracemalloc.start()
    try:
        for _ in range(1000):
            accumulator.add(batch)
        full, _ = tracemalloc.get_traced_memory()
        result = accumulator.result()
        size, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert result.nbytes == 1000 * batch.nbytes
    assert size < 1.01 * result.nbytes
    assert full <= peak < 1.26 * result.nbytes


def test_a_batch_is_copied_once() -> None:
    accumulator = ll.NumpyAccumulator()
    batch = torch.ones(1000, 100)
    for _ in range(8):  # the ninth finds room
        accumulator.add(batch)
    tracemalloc.start()
    try:
        accumulator.add(batch)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 0.01 * batch.nbytes


def test_refuses_one_value_for_a_whole_batch() -> None:
    with pytest.raises(
        ll.DataError, match="there is one value for the whole batch, not one per sample"
    ):
        gathered([torch.tensor(1.0)])


def test_refuses_shapes_that_differ_and_names_who_takes_them() -> None:
    with pytest.raises(
        ll.DataError, match=r"entries have shape \(3,\) in one batch and \(2,\).*ListAcc"
    ):
        gathered([torch.zeros(1, 2), torch.zeros(1, 3)])


def test_refuses_shapes_that_differ_within_a_batch() -> None:
    with pytest.raises(ll.DataError, match="different shapes in one batch; a ListAccumulator"):
        ll.NumpyAccumulator().add([torch.ones(1), torch.ones(2)])


def test_a_list_takes_entries_of_any_shape() -> None:
    accumulator = ll.ListAccumulator()
    accumulator.add(["a", None])
    accumulator.add(torch.arange(2))
    accumulator.add(np.zeros((1, 3)))

    assert [np.shape(entry) for entry in accumulator.result()] == [(), (), (), (), (3,)]
    assert accumulator.result()[:4] == ["a", None, 0, 1]


def test_a_composite_names_what_is_missing_and_what_was_meant() -> None:
    composite = ll.CompositeAccumulator(logit=ll.NumpyAccumulator())
    with pytest.raises(ll.DataError, match=r"accumulator 'logit': neither.*did you mean logits\?"):
        composite.add({"logits": torch.zeros(1)})


def test_a_composite_says_whose_values_are_wrong() -> None:
    composite = ll.CompositeAccumulator(loss=ll.NumpyAccumulator())
    with pytest.raises(ll.DataError, match=r"accumulator 'loss'.*one value for the whole batch"):
        composite.add({"loss": torch.zeros(())})


def test_a_union_refuses_a_name_that_two_give() -> None:
    union = ll.UnionAccumulator(
        ll.CompositeAccumulator(idx=ll.NumpyAccumulator()),
        ll.CompositeAccumulator(idx=ll.ListAccumulator()),
    )
    union.add({"idx": torch.arange(2)})
    with pytest.raises(ll.DataError, match="two accumulators of a union give 'idx'"):
        union.result()


def test_a_factory_makes_accumulators_that_share_nothing() -> None:
    factory = ll.CompositeFactory(x=ll.NumpyAccumulator)
    first, second = factory(), factory()
    first.add({"x": torch.ones(1)})
    assert len(second.result()["x"]) == 0


@pytest.mark.parametrize("as_list", [False, True])
def test_what_was_listed_is_its_own_when_a_model_writes_over_its_outputs(as_list: bool) -> None:
    accumulator, outputs = ll.ListAccumulator(), torch.zeros(2, 3)
    for value in (1.0, 2.0):
        outputs.fill_(value)
        accumulator.add([*outputs] if as_list else outputs)
    assert [float(entry[0]) for entry in accumulator.result()] == [1.0, 1.0, 2.0, 2.0]


any_type = hnp.arrays(
    st.sampled_from([*DTYPES, np.int8, np.uint16, np.uint64, np.float16, np.complex64]), 2
)


@given(st.lists(any_type, min_size=3, max_size=3))
def test_merging_is_associative_in_the_types_too_and_as_concatenate(
    parts: list[np.ndarray[Any, Any]],
) -> None:
    def holding(*arrays: np.ndarray[Any, Any]) -> ll.NumpyAccumulator:
        accumulator = ll.NumpyAccumulator()
        for array in arrays:
            accumulator.add(array)
        return accumulator

    a, b, c = map(holding, parts)
    results = [
        holding(*parts).result(),
        a.merge(b).merge(c).result(),
        a.merge(b.merge(c)).result(),
    ]
    for result in results:
        assert result.dtype == np.concatenate(parts).dtype
        np.testing.assert_array_equal(result, results[0])


def test_accumulators_of_different_names_or_numbers_do_not_merge() -> None:
    one = ll.CompositeAccumulator(logits=ll.NumpyAccumulator())
    other = ll.CompositeAccumulator(target=ll.NumpyAccumulator())
    with pytest.raises(ll.ArgumentError, match="other collects target, but this one logits"):
        one.merge(other)
    with pytest.raises(ll.ArgumentError, match="other has 2 accumulators, but this union 1"):
        ll.UnionAccumulator(one).merge(ll.UnionAccumulator(one, other))


def test_shapes_that_differ_do_not_merge() -> None:
    first, second = ll.NumpyAccumulator(), ll.NumpyAccumulator()
    first.add(torch.zeros(1, 2))
    second.add(torch.zeros(1, 3))
    with pytest.raises(ll.DataError, match=r"entries have shape \(3,\) in one batch and \(2,\)"):
        first.merge(second)


def test_an_accumulator_without_merge_says_so() -> None:
    class Last(ll.Accumulator):
        def add(self, values: Any) -> None: ...

        def result(self) -> Any: ...

    with pytest.raises(NotImplementedError, match=r"Last does not define merge\(other\)"):
        Last().merge(Last())


def test_a_factory_that_makes_nothing_is_refused_when_it_is_given() -> None:
    with pytest.raises(ArgumentError, match=r"^mine makes no accumulator: .*'loss'"):
        ll.CompositeFactory(mine=ll.MeanLoss)
    inputs = partial(ll.MetricAccumulator, ll.TrainLoss(), inputs="x")
    with pytest.raises(ArgumentError, match=r"^mine.metric is a TrainLoss, without update"):
        ll.CompositeFactory(mine=inputs)
    torch.manual_seed(1)
    before = torch.rand(())
    torch.manual_seed(1)
    ll.CompositeFactory(mine=lambda: ll.ListAccumulator() if torch.rand(()) > 2 else None)
    assert torch.rand(()) == before
