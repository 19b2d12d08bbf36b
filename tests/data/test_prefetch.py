"""Copying ahead, which needs a GPU."""

from __future__ import annotations

import pytest
import torch

from legoloop.core.errors import DataError
from legoloop.data.loader_config import LoaderConfig
from legoloop.data.loaders import Loader
from legoloop.data.streams import BatchStream
from tests.data.samples import EVERY_KIND, NoisyRecords, Records, plain

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU here")

GPU = torch.device("cuda")


def a_loop(kind="noisy records", num_workers=0, device=GPU, **config):
    return BatchStream(
        EVERY_KIND[kind](), "train", 3, LoaderConfig(4, num_workers, **config), device
    )


@pytest.mark.parametrize("kind", EVERY_KIND)
@pytest.mark.parametrize("pin_memory", [None, True, False])
@pytest.mark.parametrize("num_workers", [0, 1])
def test_batches_are_on_the_gpu_and_those_of_the_host(kind, pin_memory, num_workers):
    there = a_loop(kind, num_workers, pin_memory=pin_memory)
    here = a_loop(kind, device=None)
    for _ in range(7):
        batch = next(there)
        assert {value.device.type for value in batch.values()} == {"cuda"}
        assert plain([batch]) == plain([next(here)])
    there.close()


def test_a_pass_ends_and_begins_anew():
    loader = Loader(Records(), "val", 0, LoaderConfig(4), GPU)
    alone = plain(Loader(Records(), "val", 0, LoaderConfig(4)))
    assert plain(loader) == plain(loader) == alone


def test_the_position_counts_what_was_handed_over_and_going_there_drops_what_was_copied():
    loop = a_loop()
    first = plain(next(loop) for _ in range(5))
    assert loop.state_dict()["position"] == 5
    loop.load_state_dict({"position": 2})
    assert plain(next(loop) for _ in range(3)) == first[2:]
    loop.close()
    assert plain([next(loop)]) == plain([next(loop) for loop in [a_loop()] for _ in range(6)][5:])


class Breaks(Records):
    def __getitem__(self, item):
        if item == 5:
            raise DataError("image 5 is damaged")
        return super().__getitem__(item)


def test_a_mistake_is_raised_at_the_batch_that_has_it():
    loop = BatchStream(Breaks(), "train", 0, LoaderConfig(2, shuffle=False), GPU)
    assert [next(loop)["idx"].tolist() for _ in range(2)] == [[0, 1], [2, 3]]
    with pytest.raises(DataError, match="image 5 is damaged"):
        next(loop)
    assert loop.position == 2


def test_what_a_step_still_computes_with_is_not_overwritten_by_the_next_copy():
    class Large(NoisyRecords):
        def __getitems__(self, items):
            return {"idx": items, "x": torch.full((2**20,), float(items[0]))}

    loop = BatchStream(Large(64), "train", 0, LoaderConfig(1, shuffle=False), GPU)
    weights = torch.rand(2048, 2048, device=GPU)
    sums = []
    for _ in range(64):
        batch = next(loop)
        weights = (weights @ weights).clamp(0, 1)  # keeps the GPU behind
        sums.append(batch["x"].sum() / 2**20)
        del batch
    assert torch.stack(sums).tolist() == [float(number) for number in range(64)]
