from __future__ import annotations

import multiprocessing
import random
import traceback

import numpy as np
import psutil
import pytest
import torch

from legoloop.core.errors import ArgumentError, DataError
from legoloop.data.loader_config import LoaderConfig
from legoloop.data.loaders import Loader
from legoloop.data.streams import BatchStream
from tests.data.samples import EVERY_KIND, NoisyRecords, Records, noisy_columns, plain


def taken(kind, count=7, batch_size=4, **config):
    loop = BatchStream(EVERY_KIND[kind](), "train", 3, LoaderConfig(batch_size, **config))
    batches = plain(next(loop) for _ in range(count))
    loop.close()
    return batches


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"batch_size": 0}, "batch_size is 0; give a whole number of at least 1"),
        ({"batch_size": "8"}, "batch_size is '8'; give a whole number of at least 1"),
        ({"batch_size": 2.0}, "batch_size is 2.0; give a whole number of at least 1"),
        ({"batch_size": True}, "batch_size is True; give a whole number of at least 1"),
        ({"num_workers": -1}, "num_workers is -1; give a whole number of at least 0"),
        ({"num_workers": None}, "num_workers is None; give a whole number of at least 0"),
        ({"prefetch_factor": 0}, "prefetch_factor is 0; give a whole number of at least 1"),
        ({"timeout": -1}, "timeout is -1; give seconds, 0 for none"),
        ({"timeout": "long"}, "timeout is 'long'; give seconds, 0 for none"),
        ({"timeout": float("nan")}, "timeout is nan; give seconds, 0 for none"),
        ({"shuffle": "no"}, "shuffle is 'no'; give true or false"),
        ({"pin_memory": "no"}, "pin_memory is 'no'; give true, false or null"),
        ({"eval_batch_size": 0}, "eval_batch_size is 0; give a whole number of at least 1"),
    ],
)
def test_values_out_of_range_are_refused(settings, message):
    with pytest.raises(ArgumentError) as refused:
        LoaderConfig(**settings)
    assert str(refused.value) == message


@pytest.mark.parametrize(("cores", "most"), [(2, 64), (16, 128), (None, 64)])
def test_more_workers_than_a_machine_bears_are_refused(monkeypatch, cores, most):
    monkeypatch.setattr("os.cpu_count", lambda: cores)
    assert LoaderConfig(num_workers=most).num_workers == most
    with pytest.raises(
        ArgumentError, match=f"^num_workers is {most + 1}; give at most {most}; this"
    ):
        LoaderConfig(num_workers=most + 1)


@pytest.mark.parametrize("kind", EVERY_KIND)
def test_any_number_of_workers_gives_the_same_batches(kind):
    alone = taken(kind)
    assert [len(batch["x"]) for batch in alone] == [4, 4, 2, 4, 4, 2, 4]
    for num_workers in (1, 2):
        assert taken(kind, num_workers=num_workers) == alone


@pytest.mark.parametrize("kind", EVERY_KIND)
def test_any_number_of_workers_gives_the_same_finite_pass(kind):
    def a_pass(num_workers):
        return plain(Loader(EVERY_KIND[kind](), "val", 3, LoaderConfig(4, num_workers)))

    assert a_pass(0) == a_pass(1) == a_pass(2)


def test_prefetching_changes_nothing():
    assert taken("noisy records", num_workers=1, prefetch_factor=5) == taken("noisy records")


def test_the_noise_of_a_sample_does_not_depend_on_the_batch_size():
    def noise_by_position(batch_size):
        batches = taken("noisy records", 20 // batch_size, batch_size=batch_size)
        return [number for batch in batches for number in batch["noise"]]

    assert noise_by_position(2) == noise_by_position(5) == noise_by_position(10)


def draw():
    return random.gauss(0, 1), np.random.randn(), torch.randn(2).tolist()


@pytest.mark.parametrize("num_workers", [0, 2])
@pytest.mark.parametrize("kind", EVERY_KIND)
def test_the_generators_of_the_process_are_left_as_they_were(kind, num_workers):
    random.seed(0), np.random.seed(0), torch.manual_seed(0)
    untouched = [draw() for _ in range(4)]
    random.seed(0), np.random.seed(0), torch.manual_seed(0)
    found = [draw()]
    loop = BatchStream(EVERY_KIND[kind](), "train", 0, LoaderConfig(4, num_workers))
    next(loop)
    found.append(draw())
    next(loop)
    found.append(draw())
    list(Loader(EVERY_KIND[kind](), "val", 0, LoaderConfig(4, num_workers)))
    list(loop.peek(5))
    loop.close()
    found.append(draw())
    assert found == untouched


def children():
    return psutil.Process().children(recursive=True)


def test_workers_are_gone_after_close_and_come_back_when_needed():
    before, others = children(), set(multiprocessing.active_children())
    loop = BatchStream(Records(), "train", 0, LoaderConfig(4, num_workers=2))
    first = plain([next(loop)])
    assert len(set(multiprocessing.active_children()) - others) == 2
    loop.close()
    assert children() == before
    assert plain([next(loop)]) != first
    assert loop.position == 2
    loop.close()
    loop.close()
    assert children() == before


def test_workers_are_gone_after_a_finite_pass_even_a_broken_off_one():
    before = children()
    loader = Loader(Records(), "val", 0, LoaderConfig(2, num_workers=2))
    list(loader)
    assert children() == before
    begun = iter(loader)
    next(begun)
    del begun
    assert children() == before


class Breaks(Records):
    def __init__(self, error):
        super().__init__(8)
        self.error = error

    def __getitem__(self, item):
        if item == 5:
            raise self.error
        return super().__getitem__(item)


def fetched_until_it_breaks(error, num_workers):
    """The indices fetched, the error and its traceback as text; no frame outlives the call."""
    found = []
    try:
        for batch in Loader(Breaks(error), "val", 0, LoaderConfig(2, num_workers)):
            found.append(batch["idx"].tolist())
    except Exception as raised:
        told = traceback.format_exc()
        return found, raised.with_traceback(None), told


@pytest.mark.parametrize("num_workers", [0, 1, 2])
def test_a_users_mistake_arrives_as_itself(num_workers):
    mistake = DataError("image 5 is damaged")
    found, raised, _ = fetched_until_it_breaks(mistake, num_workers)
    assert found == [[0, 1], [2, 3]]
    assert (type(raised), str(raised)) == (DataError, "image 5 is damaged")


@pytest.mark.parametrize("num_workers", [0, 1])
def test_any_other_error_is_raised_and_tells_where_it_came_from(num_workers):
    found, raised, told = fetched_until_it_breaks(ZeroDivisionError("oops"), num_workers)
    assert found == [[0, 1], [2, 3]]
    assert type(raised) is ZeroDivisionError
    assert "oops" in told
    assert "in __getitem__" in told


@pytest.mark.parametrize("num_workers", [0, 1])
def test_an_error_while_fetching_skips_no_batch(num_workers):
    broken = Breaks(DataError("not now"))
    loop = BatchStream(broken, "train", 0, LoaderConfig(2, num_workers, shuffle=False))
    next(loop), next(loop)
    with pytest.raises(DataError):
        next(loop)
    assert loop.position == 2
    broken.error = None
    broken.__class__ = Records
    assert next(loop)["idx"].tolist() == [4, 5]
    assert loop.position == 3
    loop.close()


class Served(Records):
    def __init__(self, served):
        super().__init__(3)
        self.served = served

    def __getitem__(self, item):
        return self.served


class ServedAtOnce(Served):
    def __getitems__(self, items):
        return self.served


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (Served((1, 2)), "Served returned a tuple for a sample; return a record, a dict"),
        (ServedAtOnce([1]), "ServedAtOnce returned a int for a sample; return a record, a "),
        (
            ServedAtOnce(None),
            "ServedAtOnce.__getitems__ returned a NoneType; return a batch",
        ),
        (ServedAtOnce(([1],)), "ServedAtOnce.__getitems__ returned a tuple; return a batch"),
    ],
)
def test_what_is_neither_record_nor_batch_is_refused(data, message):
    with pytest.raises(DataError) as refused:
        list(Loader(data, "val", 0, LoaderConfig(2)))
    assert str(refused.value).startswith(message)


def test_a_list_goes_to_collation_and_a_dict_is_the_batch():
    batch = {"idx": ["a", "b"]}
    served = next(iter(Loader(ServedAtOnce(batch), "val", 0, LoaderConfig(2))))
    assert served == batch
    assert served["idx"] is batch["idx"]
    listed = next(iter(Loader(ServedAtOnce([{"idx": "a", "x": 1}] * 2), "val", 0, LoaderConfig(2))))
    assert listed["idx"] == ["a", "a"]
    assert listed["x"].tolist() == [1, 1]


@pytest.mark.parametrize("num_workers", [0, 1])
def test_an_idx_may_be_a_string(num_workers):
    class Named(Records):
        def __getitem__(self, item):
            return {"idx": f"sample {item}"}

    batches = list(Loader(Named(3), "val", 0, LoaderConfig(2, num_workers)))
    assert batches == [{"idx": ["sample 0", "sample 1"]}, {"idx": ["sample 2"]}]


def own_collate(records):
    return {"count": torch.tensor([len(records)])}


def test_a_collation_of_ones_own():
    batches = Loader(Records(3), "val", 0, LoaderConfig(2, collate=own_collate))
    assert plain(batches) == [{"count": [2]}, {"count": [1]}]


@pytest.mark.parametrize("make", [Loader, BatchStream])
def test_an_empty_data_set_is_refused(make):
    with pytest.raises(DataError) as refused:
        make(Records(0), "val", 0, LoaderConfig())
    assert str(refused.value) == "data set 'val' is empty: Records has 0 samples"


@pytest.mark.skipif(torch.cuda.is_available(), reason="with a GPU it does something")
@pytest.mark.parametrize("num_workers", [0, 1])
def test_pinning_memory_does_nothing_without_a_gpu(num_workers):
    assert taken("columns", num_workers=num_workers, pin_memory=True) == taken("columns")


def test_one_thread_computes_what_a_data_set_computes():
    class Tells(NoisyRecords):
        def __getitem__(self, item):
            return {"threads": torch.get_num_threads()}

    torch.set_num_threads(2)
    assert plain(Loader(Tells(2), "val", 0, LoaderConfig(2))) == [{"threads": [1, 1]}]
    assert torch.get_num_threads() == 2


def test_whole_batches_draw_at_their_first_position():
    short = next(BatchStream(noisy_columns(), "train", 0, LoaderConfig(3)))
    long = next(BatchStream(noisy_columns(), "train", 0, LoaderConfig(5)))
    assert short["noise"].tolist() == long["noise"][:3].tolist()


def sizes(batches):
    return [len(batch["idx"]) for batch in batches]


@pytest.mark.parametrize("kind", EVERY_KIND)
def test_what_is_evaluated_comes_in_batches_of_its_own_size(kind):
    config = LoaderConfig(2, eval_batch_size=4)
    loop = BatchStream(EVERY_KIND[kind](), "train", 3, config)
    assert sizes(Loader(EVERY_KIND[kind](), "val", 3, config)) == [4, 4, 2]
    assert sizes(loop.peek()) == [4, 4, 2]
    assert sizes(loop.peek(7)) == [4, 3]
    assert sizes(next(loop) for _ in range(6)) == [2, 2, 2, 2, 2, 2]
    assert len(Loader(EVERY_KIND[kind](), "val", 3, config)) == 3


def test_the_size_of_evaluated_batches_changes_no_sample_that_draws_for_itself():
    def looked_at(config):
        loop = BatchStream(NoisyRecords(), "train", 3, config)
        batches = [*loop.peek(7), *Loader(NoisyRecords(), "val", 3, config)]
        return [torch.cat([batch[key] for batch in batches]).tolist() for key in ("idx", "noise")]

    assert looked_at(LoaderConfig(2, eval_batch_size=5)) == looked_at(LoaderConfig(2))
