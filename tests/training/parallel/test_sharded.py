"""A sharded model is trained like one that each rank has whole, and needs less memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import legoloop as ll
from legoloop.core.rank_group import RankGroup
from legoloop.core.shards import is_sharded, whole
from tests.contracts.test_ranks import MLP, files_in, largest_difference, newest_state
from tests.ranks import in_group, train, train_alone

pytestmark = pytest.mark.slow

EMA = ["plugins=[default,checkpoints,ema,clipping,best_weights]", "plugins.ema.decay=0.9"]


@pytest.mark.parametrize("model", ["mlp", pytest.param("simple_cnn", marks=pytest.mark.long)])
def test_it_trains_what_whole_models_train(tmp_path: Path, model: str) -> None:
    given = [*MLP[:3], f"model={model}", "model.dropout=0", "epoch_size=200", *EMA]
    for parallel in ("ddp", "fsdp"):
        train(tmp_path / parallel, [*given, f"parallel={parallel}"], ranks=2)
    assert largest_difference(tmp_path / "ddp", tmp_path / "fsdp") <= 1e-5
    assert files_in(tmp_path / "ddp") == files_in(tmp_path / "fsdp")
    ddp, fsdp = newest_state(tmp_path / "ddp"), newest_state(tmp_path / "fsdp")
    average = fsdp["plugins"]["ema"]["model"]
    for name, weight in ddp["plugins"]["ema"]["model"].items():
        torch.testing.assert_close(average[name], weight, atol=1e-5, rtol=0)


def test_its_checkpoint_is_whole_and_knows_no_ranks(tmp_path: Path) -> None:
    given = [*MLP, *EMA, "plugins.checkpoints.every_steps=20", "plugins.checkpoints.keep_last=null"]
    sharded = [*given, "parallel=fsdp"]
    (steps,) = train_alone(tmp_path / "whole", given)
    train(tmp_path / "2", sharded, ranks=2)
    at = tmp_path / "2" / "checkpoints" / "20"
    train_alone(tmp_path / "1", given, checkpoint=at)
    assert train(tmp_path / "3", sharded, ranks=3, checkpoint=at) == [steps] * 3
    for name in ("1", "3"):
        assert largest_difference(tmp_path / "whole", tmp_path / name) <= 1e-5


def test_ranks_with_fewer_micro_batches_take_part_in_all(tmp_path: Path) -> None:
    given = [*MLP, "num_epochs=1", "plugins.descent.micro_batch_size=5"]  # of 16 and 13 samples
    (steps,) = train_alone(tmp_path / "one", given)
    assert train(tmp_path / "two", [*given, "parallel=fsdp"], ranks=2) == [steps] * 2
    assert largest_difference(tmp_path / "one", tmp_path / "two") <= 1e-5


def memory_of(parallel: Any) -> int:
    """The bytes of weights and the state of the optimizer on this rank, after a step."""
    torch.manual_seed(0)
    model = Deep()
    parallel.prepare(model)
    optimizer = torch.optim.Adam(model.parameters())
    descent = ll.GradientDescent(optimizer, model, ll.Feed(model, "cpu"), square, parallel=parallel)
    data = ll.ColumnDataset({"x": torch.ones(8, 64)})
    stream = ll.BatchStream(data, "train", 0, ll.LoaderConfig(batch_size=8))
    counter = ll.Counter()
    ll.TrainingHost([counter, ll.SimpleEpoch(stream), descent, ll.LastEpoch(counter, 1)]).run()
    moments = [value for state in optimizer.state.values() for value in state.values()]
    tensors = [*model.parameters(), *moments]
    local = [getattr(tensor, "to_local", lambda t=tensor: t)() for tensor in tensors]
    return sum(tensor.numel() * tensor.element_size() for tensor in local)


class Deep(nn.Module):
    """Layers in a list, each sharded for itself."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(64, 64) for _ in range(4))

    def forward(self, batch: Any) -> Any:
        x = batch["x"]
        for layer in self.layers:
            x = layer(x).relu()
        return {"y": x}


def square(batch: Any, outputs: Any) -> torch.Tensor:
    return (outputs["y"] ** 2).mean(dim=1)


def test_each_rank_holds_half_of_it() -> None:
    replicated = in_group(2, lambda group: memory_of(ll.DataParallel()))
    sharded = in_group(2, lambda group: memory_of(ll.FullySharded()))
    assert max(sharded) <= 0.6 * min(replicated)


def test_other_parameters_than_its_own_are_refused() -> None:
    def refused(group: RankGroup) -> str:
        model, other = nn.Linear(2, 2), nn.Linear(2, 2)
        parallel = ll.FullySharded()
        parallel.prepare(model)
        assert is_sharded(model.weight)
        assert whole(model.weight).shape == (2, 2)
        optimizer = torch.optim.SGD([*model.parameters(), *other.parameters()])
        with pytest.raises(ll.ArgumentError) as refusal:
            parallel.wrap(model, optimizer, lambda batch: batch)
        return str(refusal.value)

    told = "parallel shards the component 'model' alone, but an optimizer has parameters elsewhere"
    assert in_group(2, refused) == [f"{told}; give parallel=ddp"] * 2
