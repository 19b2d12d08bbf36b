"""Several ranks train what one process trains, and leave what it leaves."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest
import torch

from legoloop.app.hydra_bridge.shipped_config import shipped_config_dir
from legoloop.state.checkpoints import checkpoints_in, read_checkpoint
from tests.app.composed import ASKED_FOR
from tests.contracts.rank_bricks import SpoilImage, train_tagger
from tests.ranks import RankError, in_group, on_ranks, train, train_alone

LOGGED = ["loggers=[csv]", "eval_samples=100", "num_epochs=2"]
MLP = [*LOGGED, "model=mlp", "model.hidden=[16]"]
SHORT = [*MLP, "num_epochs=1", "epoch_size=320"]
CNN = [*LOGGED, "model=simple_cnn", "model.dropout=0", "epoch_size=300"]
SAME = ("weights", "metrics.csv", "predicts.csv", "targets.csv")

SPOIL = f"{SpoilImage.__module__}.SpoilImage"
TIMED = {"system.csv"}
"""What tells times, or of the machine."""


def options_of(group: str) -> list[str]:
    return [file.stem for file in (Path(str(shipped_config_dir())) / group).glob("*.yaml")]


pytestmark = pytest.mark.slow


def newest_state(directory: Path) -> dict[str, Any]:
    """The last checkpoint, without times."""
    state = read_checkpoint(checkpoints_in(directory / "checkpoints")[0])
    state["plugins"].pop("progress", None)
    return state


def assert_same(one: Any, other: Any, path: str = "") -> None:
    """Equal to the bit."""
    if isinstance(one, dict):
        assert one.keys() == other.keys(), path
        for key in one:
            assert_same(one[key], other[key], f"{path}.{key}")
    elif isinstance(one, list | tuple):
        assert len(one) == len(other), path
        for n, (mine, theirs) in enumerate(zip(one, other, strict=True)):
            assert_same(mine, theirs, f"{path}[{n}]")
    elif isinstance(one, torch.Tensor):
        assert torch.equal(one, other), path
    else:
        assert repr(one) == repr(other), path


def assert_same_run(one: Path, other: Path) -> None:
    for name in SAME:
        assert (one / name).read_bytes() == (other / name).read_bytes(), name
    assert_same(newest_state(one), newest_state(other))


def files_in(directory: Path) -> set[str]:
    return {str(path.relative_to(directory)) for path in directory.rglob("*") if path.is_file()}


def indices(directory: Path) -> list[str]:
    with (directory / "predicts.csv").open() as file:
        return [row["idx"] for row in csv.DictReader(file)]


def weights(directory: Path) -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = torch.load(directory / "weights")
    return found


def largest_difference(one: Path, other: Path) -> float:
    pairs = zip(weights(one).values(), weights(other).values(), strict=True)
    return max(float((mine - theirs).abs().max()) for mine, theirs in pairs)


@pytest.mark.parametrize(
    ("overrides", "batch_size"),
    [
        (MLP, 32),  # the last batch of a pass has 29 of 1,437 samples
        (MLP, 479),  # three whole batches
        # The last batch has one sample.
        ([*MLP, "num_epochs=1", "+data.loaders.train.num_workers=2"], 359),
        (CNN, 32),
        pytest.param([*CNN, "+data.loaders.train.num_workers=2"], 33, marks=pytest.mark.long),
    ],
)
def test_two_ranks_are_two_micro_batches(
    tmp_path: Path, overrides: list[str], batch_size: int
) -> None:
    given = [*overrides, f"data.loaders.default.batch_size={batch_size}"]
    halves = f"plugins.descent.micro_batch_size={-(-batch_size // 2)}"
    one = train_alone(tmp_path / "one", [*given, halves])
    assert train(tmp_path / "two", given, ranks=2) == one * 2
    assert_same_run(tmp_path / "one", tmp_path / "two")
    assert files_in(tmp_path / "one") == files_in(tmp_path / "two")


def test_an_optimizer_that_evaluates_the_loss_itself_goes_the_same_way(tmp_path: Path) -> None:
    """As long as batches are large: from small ones LBFGS makes much of a rounding error."""
    batches = "data.loaders.default.batch_size=479"
    given = [*MLP, batches, "optimizer=lbfgs", "optimizer.lr=0.1", "optimizer.max_iter=3"]
    one = train_alone(tmp_path / "one", given)
    assert train(tmp_path / "two", given, ranks=2) == one * 2
    assert largest_difference(tmp_path / "one", tmp_path / "two") <= 1e-5
    evaluations = [
        newest_state(tmp_path / name)["plugins"]["descent"]["evaluations"]
        for name in ("one", "two")
    ]
    assert evaluations[0] == evaluations[1] > one[0]


def test_an_optimizer_that_evaluates_the_loss_itself_takes_no_shards(tmp_path: Path) -> None:
    with pytest.raises(RankError, match="which takes whole weights, but each rank has a shard"):
        train(tmp_path / "two", [*MLP, "optimizer=lbfgs", "parallel=fsdp"], ranks=2)


def test_ranks_evaluate_within_epochs_as_one_process(tmp_path: Path) -> None:
    given = [
        *(*MLP, "evaluate_every=2", "evaluate_every_steps=20", "scheduler=plateau"),
        *("scheduler.patience=0", "final_samples=50", "data.loaders.default.eval_batch_size=16"),
        "plugins=[default,checkpoints,early_stopping,best_weights]",
    ]
    one = train_alone(tmp_path / "one", [*given, "plugins.descent.micro_batch_size=16"])
    assert train(tmp_path / "two", given, ranks=2) == one * 2
    assert_same_run(tmp_path / "one", tmp_path / "two")
    with (tmp_path / "one" / "metrics.csv").open() as file:
        evaluated = [row["step"] for row in csv.DictReader(file) if row["val/loss"]]
    assert evaluated == ["20", "40", "60", "80", "90"]


def test_ranks_merge_a_loss_and_metrics_of_torchmetrics(tmp_path: Path) -> None:
    torch_metric = "{_target_: torchmetrics.classification.MulticlassAccuracy, num_classes: 10}"
    node = "_target_: legoloop.MetricAccumulator, _partial_: true, inputs: [logits, target]"
    mine = "{_target_: legoloop.MeanLoss, _partial_: true, _inject_: {loss: loss}}"
    given = [
        *(*MLP, "data.loaders.default.eval_batch_size=32", "metrics=evaluated"),
        *(f"+accumulators.mine={mine}", f"+accumulators.right={{{node}, metric: {torch_metric}}}"),
    ]
    one = train_alone(tmp_path / "one", [*given, "plugins.descent.micro_batch_size=16"])
    assert train(tmp_path / "two", given, ranks=2) == one * 2
    assert_same_run(tmp_path / "one", tmp_path / "two")
    with (tmp_path / "one" / "metrics.csv").open() as file:
        assert {"val/mine", "final/val/right"} <= {*next(csv.reader(file))}


def test_any_number_of_ranks_agrees_with_one_process(tmp_path: Path) -> None:
    (steps,) = train_alone(tmp_path / "1", MLP)
    for ranks in (2, 3, 4):
        assert train(tmp_path / f"{ranks}", MLP, ranks) == [steps] * ranks
        assert largest_difference(tmp_path / "1", tmp_path / f"{ranks}") <= 1e-5
        assert indices(tmp_path / f"{ranks}") == indices(tmp_path / "1")


def test_the_same_run_again_has_the_same_bits(tmp_path: Path) -> None:
    overrides = [*CNN[:-2], "model.dropout=0.5", "epoch_size=200", "plugins=[default,checkpoints]"]
    for name in ("one", "other"):
        train(tmp_path / name, overrides, ranks=3)
    assert_same_run(tmp_path / "one", tmp_path / "other")


def test_a_checkpoint_knows_no_ranks(tmp_path: Path) -> None:
    overrides = [
        *MLP,
        "model.dropout=0",
        "plugins.checkpoints.every_steps=10",
        "plugins.checkpoints.keep_last=null",
    ]
    (steps,) = train_alone(tmp_path / "whole", overrides)
    train(tmp_path / "2", overrides, ranks=2)
    train(tmp_path / "1", overrides, ranks=1, checkpoint=tmp_path / "2" / "checkpoints" / "20")
    resumed = tmp_path / "1" / "checkpoints" / "50"
    assert train(tmp_path / "3", overrides, ranks=3, checkpoint=resumed) == [steps] * 3
    assert largest_difference(tmp_path / "whole", tmp_path / "3") <= 1e-5
    train(tmp_path / "2 again", overrides, 2, checkpoint=tmp_path / "2" / "checkpoints" / "50")
    assert_same_run(tmp_path / "2", tmp_path / "2 again")


@pytest.mark.parametrize("ranks", [3, 4])
def test_a_run_goes_on_with_the_same_bits(tmp_path: Path, ranks: int) -> None:
    """Of more than two gradients, the sum depends on their order."""
    overrides = [*MLP, "plugins.checkpoints.every_steps=20", "plugins.checkpoints.keep_last=null"]
    train(tmp_path / "whole", overrides, ranks)
    checkpoint = tmp_path / "whole" / "checkpoints" / "20"
    train(tmp_path / "resumed", overrides, ranks, checkpoint)
    assert_same_run(tmp_path / "whole", tmp_path / "resumed")


PLUGINS = sorted(
    name
    for name in options_of("plugins")
    # They end by the clock, or look at the machine.
    if name not in ("default", "checkpoints", "time_limit", "system")
)
IN_CI = ("best_weights", "early_stopping", "ema", "freeze", "mixup", "predicted_classes", "pruning")
"""Those that look at what all ranks have, or change it; the others are long."""


@pytest.mark.parametrize(
    "option",
    [pytest.param(name, marks=() if name in IN_CI else pytest.mark.long) for name in PLUGINS],
)
def test_each_plugin_that_ships_leaves_on_two_ranks_what_it_leaves_on_one(
    tmp_path: Path, option: str
) -> None:
    head = ["plugins.freeze.patterns=[layers.0.*]"] if option == "freeze" else []
    asked = head or ASKED_FOR.get(option, [])
    given = [*SHORT, f"plugins=[default,checkpoints,{option}]", *asked]
    halves = "plugins.descent.micro_batch_size=16"
    train_alone(tmp_path / "one", [*given, halves])
    train(tmp_path / "two", given, ranks=2)
    one, two = files_in(tmp_path / "one"), files_in(tmp_path / "two")
    assert one == two
    if option == "mixup":  # each rank mixes its own share
        return
    for name in one - TIMED:
        if not name.startswith("checkpoints"):
            assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    assert_same(newest_state(tmp_path / "one"), newest_state(tmp_path / "two"))


@pytest.mark.parametrize(
    "overrides",
    [
        ["scheduler=warmup_cosine", "optimizer=adamw"],
        [
            "plugins=[default,checkpoints,ema]",
            "plugins.checkpoints.keep_best=1",
            "plugins.checkpoints.metric=val/accuracy",
        ],
        ["plugins.descent.micro_batch_size=5"],
        ["precision=amp_bf16"],
        ["precision=amp_fp16"],
        [
            "num_epochs=2",
            "plugins=[default,checkpoints,freeze]",
            "plugins.freeze.patterns=[layers.0.*]",
            "plugins.freeze.unfreeze_after_epochs=1",
        ],
        ["+data.loaders.train.sampler={_target_: legoloop.ClassBalancedSampler}"],
        ["profile=true"],
        ["debug=limit"],
    ],
)
def test_what_else_ships_works_with_ranks(tmp_path: Path, overrides: list[str]) -> None:
    given = [*SHORT, *overrides]
    (steps,) = train_alone(tmp_path / "one", given)
    assert train(tmp_path / "two", given, ranks=2) == [steps] * 2
    tolerance = 2e-2 if "amp" in overrides[0] else 1e-5
    assert largest_difference(tmp_path / "one", tmp_path / "two") <= tolerance
    assert files_in(tmp_path / "one") == files_in(tmp_path / "two")


@pytest.mark.parametrize("action", ["stop", "skip", "warn"])
def test_a_loss_that_is_nan_on_one_rank_is_one_on_all(tmp_path: Path, action: str) -> None:
    given = [
        *MLP,
        "num_epochs=1",
        "model.dropout=0",
        "optimizer=sgd",
        f"plugins.descent.guard.action={action}",
        f"+data.datasets.train.transform={{_target_: {SPOIL}, idx: 1105}}",
    ]
    told = {
        "stop": r"step 7: rank 1: the loss is nan; samples idx 1105 \(of 16\)",
        "warn": "after step 45: these are not finite any more: model",
    }
    if action != "skip":
        with pytest.raises(RankError, match=told[action]):
            train(tmp_path / "two", given, ranks=2)
        return
    halves = "plugins.descent.micro_batch_size=16"
    train_alone(tmp_path / "one", [*given, halves])
    train(tmp_path / "two", given, ranks=2)
    assert_same_run(tmp_path / "one", tmp_path / "two")


def test_a_mean_over_tokens_is_that_of_all_ranks() -> None:
    (alone,) = on_ranks(1, lambda rank: train_tagger(micro_batch_size=8))
    first, second = in_group(2, lambda group: train_tagger(micro_batch_size=None))
    assert_same(alone, first)
    assert_same({**alone, "rng": None}, {**second, "rng": None})
