"""What cannot be trained by several ranks is refused, by name, before anything begins."""

from __future__ import annotations

from itertools import repeat
from typing import Any

import pytest
import torch

import legoloop as ll
from legoloop.loop.rank_support import STEP_STAGES, reject_without_ranks
from legoloop.loop.stages import hooks_of

REMEDY = "set supports_ranks = True on its class if that is right (docs/adding_a_brick.md)"


class SeesBatches:
    def batch_end(self, step: ll.Step) -> None: ...


class Knows(SeesBatches):
    supports_ranks = True


class LooksAtEpochs:
    def epoch_end(self) -> None: ...


class OwnDriver:
    def batches(self) -> Any:
        yield {}, 1


class OwnDescent:
    def batch(self, step: ll.Step) -> None: ...


def refusal(plugins: list[Any], ranks: int = 2) -> str:
    with pytest.raises(ll.ConfigError) as refused:
        reject_without_ranks(ll.TrainingHost(plugins).plan, ranks)
    return str(refused.value)


def streaming(batch_size: int = 4) -> ll.BatchStream:
    data = ll.ColumnDataset({"x": torch.zeros(8)})
    return ll.BatchStream(data, "train", 0, ll.LoaderConfig(batch_size=batch_size))


def test_a_plugin_that_sees_the_batch_of_one_rank_alone() -> None:
    told = "ranks: is 2, but plugin 'SeesBatches', a SeesBatches, sees the batch of one rank alone"
    assert refusal([ll.SimpleEpoch(streaming()), SeesBatches()]) == f"{told}; {REMEDY}"
    for harmless in (Knows(), LooksAtEpochs()):
        plan = ll.TrainingHost([ll.SimpleEpoch(streaming()), harmless]).plan
        reject_without_ranks(plan, 2)


def test_one_that_says_it_is_for_one_process() -> None:
    class Alone:
        supports_ranks = False

        def epoch_end(self) -> None: ...

    told = "ranks: is 2, but plugin 'Alone', a Alone, is for one process; leave one of them out"
    assert refusal([ll.SimpleEpoch(streaming()), Alone()]) == told


def test_a_descent_a_driver_and_a_stream_of_ones_own() -> None:
    assert "a OwnDescent, sees the batch" in refusal([ll.SimpleEpoch(streaming()), OwnDescent()])
    assert "a OwnDriver, serves the batches" in refusal([OwnDriver()])
    own = ll.SimpleEpoch(repeat({"x": [1, 2]}), epoch_size=4)
    assert "the training stream, a repeat, does not serve each rank its share" in refusal([own])


def test_more_ranks_than_samples_in_a_batch() -> None:
    mixed = ll.MixedStream({"train": streaming(4), "more": streaming(3)}, {"train": 1, "more": 1})
    for stream, size in ((streaming(3), 3), (mixed, 3)):
        assert refusal([ll.SimpleEpoch(stream)], ranks=4) == (
            f"ranks: is 4, but a batch has {size} samples, of which each rank needs one; give "
            "fewer ranks, or a larger batch_size"
        )


def test_all_that_ships_says_that_it_supports_ranks() -> None:
    classes = [each for each in vars(ll).values() if isinstance(each, type)]
    classes += [getattr(ll, name) for name in ll.__all__ if isinstance(getattr(ll, name), type)]
    sees_batches = [
        each
        for each in classes
        if each not in (ll.TrainingPlugin, ll.Step) and set(STEP_STAGES) & set(hooks_of(each))
    ]
    assert len(sees_batches) > 10
    assert [each for each in sees_batches if not getattr(each, "supports_ranks", False)] == []


@pytest.mark.parametrize("turns", [False, True], ids=["alone", "alternating"])
def test_what_a_descent_refuses_of_shards_is_found_before_there_are_any(turns: bool) -> None:
    model = torch.nn.Linear(1, 1)
    opt, feed = torch.optim.LBFGS(model.parameters()), ll.Feed(model, "cpu")
    descent: Any = ll.ClosureDescent(opt, model, feed, lambda batch, outputs: outputs["y"].mean())
    if turns:
        descent = ll.AlternatingDescent(descent, tag="loss/one")
    plan = ll.TrainingHost([ll.SimpleEpoch(streaming()), descent]).plan
    reject_without_ranks(plan, 2, ll.DataParallel())
    with pytest.raises(ll.ConfigError, match="takes whole weights") as raised:
        reject_without_ranks(plan, 2, ll.FullySharded())
    key = "AlternatingDescent.descent" if turns else "ClosureDescent"
    assert raised.value.key == f"plugins.{key}"
