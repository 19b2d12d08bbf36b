"""Runs that are trained as one program, and the same runs alone."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from legoloop.core.errors import DataError
from legoloop.data.datasets import ColumnDataset
from legoloop.loop.plugin import ShouldSave
from legoloop.loop.step import Step
from legoloop.training.members import row_steps
from tests.training.members.grouped import (
    MODELS,
    Losses,
    Run,
    run_of,
    train_alone,
    train_together,
    worst_difference,
)

SHORT = ("epoch_size=320",)
NUMBERS = {
    "adam": ("optimizer=adam", "optimizer.lr={lr}", "optimizer.betas=[0.{n},0.99]"),
    "adamw": ("optimizer=adamw", "optimizer.lr={lr}", "optimizer.weight_decay=0.{n}"),
    "sgd": ("optimizer=sgd", "optimizer.lr={lr}", "optimizer.momentum=0.{n}"),
    "plain sgd": ("optimizer=sgd", "optimizer.lr={lr}", "optimizer.momentum=0"),
    "no decay": ("optimizer=adamw", "param_groups=no_decay", "optimizer.weight_decay=0.{n}"),
    "clipping": ("plugins=[default,clipping]", "plugins.clipping.max_norm=0.{n}"),
    "one cycle": ("scheduler=one_cycle", "optimizer.lr={lr}"),
    "ema": ("plugins=[default,ema]", "plugins.ema.decay=0.{n}"),
    "not fused": ("optimizer.fused=null", "+optimizer.eps=1e-{n}"),
}


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def doubles() -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


def members(*overrides: str, number: int = 3) -> list[Run]:
    return [run_of(*overrides, f"seed={seed}") for seed in range(number)]


def of_numbers(kind: str, number: int = 3) -> list[Run]:
    filled = [
        [text.format(lr=0.001 * (n + 1), n=n + 3) for text in NUMBERS[kind]] for n in range(number)
    ]
    return [run_of(*SHORT, *texts, f"seed={n}") for n, texts in enumerate(filled)]


@pytest.mark.slow
@pytest.mark.parametrize("model", MODELS)
def test_in_float64_the_losses_are_those_of_the_runs_alone(model: str, doubles: None) -> None:
    alone, together = members(*MODELS[model]), members(*MODELS[model])
    train_alone(alone)
    train_together(together)
    for one, other in zip(alone, together, strict=True):
        assert other.error is None
        assert worst_difference(one, other) < 1e-10


@pytest.mark.slow
def test_in_float32_the_losses_of_an_mlp_agree_over_50_steps() -> None:
    alone, together = members(), members()
    train_alone(alone)
    train_together(together)
    for one, other in zip(alone, together, strict=True):
        assert worst_difference(one, other) < 1e-5


@pytest.mark.parametrize("model", ["cnn", "batch norm"])
def test_in_float32_the_first_losses_agree(model: str) -> None:
    alone, together = (members(*MODELS[model], *SHORT, number=2) for _ in range(2))
    train_alone(alone)
    train_together(together)
    for one, other in zip(alone, together, strict=True):
        assert worst_difference(one, other, steps=3) < 1e-5


@pytest.mark.slow
@pytest.mark.parametrize("kind", NUMBERS)
def test_each_member_has_numbers_of_its_own(kind: str, doubles: None) -> None:
    alone, together = of_numbers(kind), of_numbers(kind)
    train_alone(alone)
    train_together(together)
    for one, other in zip(alone, together, strict=True):
        assert other.error is None
        assert worst_difference(one, other) < 1e-10
        for name, value in one.weights.items():
            torch.testing.assert_close(other.weights[name], value, rtol=1e-8, atol=1e-10)
        assert "val/loss" in one.reported
        assert other.reported == pytest.approx(one.reported, rel=1e-8)
        left, right = one.descent.opt.state_dict(), other.descent.opt.state_dict()
        torch.testing.assert_close(left["state"], right["state"], rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("kind", ["adamw", "sgd", "plain sgd"])
def test_without_kernels_of_torch_an_optimizer_of_torch_steps_the_rows(
    kind: str, doubles: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(row_steps, "ENABLED", False)
    alone, together = of_numbers(kind, number=2), of_numbers(kind, number=2)
    train_alone(alone)
    train_together(together)
    for one, other in zip(alone, together, strict=True):
        assert other.error is None
        assert worst_difference(one, other) < 1e-10


def test_label_smoothing_is_a_number_of_each(doubles: None) -> None:
    def made() -> list[Run]:
        return [run_of(*SHORT, f"loss.label_smoothing={each}") for each in (0.0, 0.1, 0.3)]

    alone, together = made(), made()
    smoothing = {id(run): run.descent.loss.label_smoothing for run in together}
    train_alone(alone)
    train_together(together, numbers=lambda run: {"label_smoothing": smoothing[id(run)]})
    for one, other in zip(alone, together, strict=True):
        assert worst_difference(one, other) < 1e-10
    assert together[0].descent.loss.label_smoothing == 0.0


def test_initial_weights_are_bit_identical_and_there_is_one_pass_for_all() -> None:
    alone, together = members(*SHORT), members(*SHORT)
    for one, other in zip(alone, together, strict=True):
        for name, value in one.weights.items():
            assert torch.equal(other.weights[name], value)
    group = train_together(together)
    assert group.passes == len(together[0].losses.values) == 20


def test_the_batches_of_all_are_fetched_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    runs = members(*SHORT)
    dataset = runs[0].host.plan.plugins["epoch"].train_iterator._fetcher.dataset
    fetched: list[int] = []
    rows = ColumnDataset.rows

    def counted(self: Any, items: Any) -> Any:
        if self is dataset:
            fetched.append(len(items))
        return rows(self, items)

    monkeypatch.setattr(ColumnDataset, "rows", counted)
    group = train_together(runs)
    assert fetched.count(3 * 32) == group.passes
    assert 32 not in fetched


@pytest.mark.parametrize(
    ("options", "calls_a_step"),
    [(("optimizer.lr=0.01",) * 3, 1), (("optimizer.lr=0.01", "", ""), 2)],
)
def test_rows_of_the_same_settings_are_stepped_by_one_call(
    options: tuple[str, ...], calls_a_step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    kernel, stepped = torch._fused_adam_, []

    def counted(weights: Any, *others: Any, **settings: Any) -> None:
        stepped.append(len(weights))
        kernel(weights, *others, **settings)

    monkeypatch.setattr(torch, "_fused_adam_", counted)
    given = [[option] if option else [] for option in options]
    overrides = ["scheduler=none", "epoch_size=64", "num_epochs=1"]
    runs = [run_of(*overrides, *own, f"seed={n}") for n, own in enumerate(given)]
    group = train_together(runs)
    assert len(stepped) == calls_a_step * group.passes
    assert sum(stepped) == 3 * group.passes


@pytest.mark.parametrize("kind", ["adam", "sgd"])
def test_what_a_row_is_stepped_beside_changes_no_bit(kind: str) -> None:
    alike = ("optimizer.lr=0.01", f"optimizer={kind}", *SHORT)
    others = {"same": alike, "other": (*alike, "optimizer.lr=0.02")}
    weights = []
    for beside in others.values():
        runs = [run_of(*alike, "seed=0"), run_of(*beside, "seed=1")]
        train_together(runs)
        weights.append(runs[0].weights)
    assert all(torch.equal(value, weights[1][name]) for name, value in weights[0].items())


def test_a_plugin_that_reads_the_batch_reads_its_own() -> None:
    class Reads:
        supports_members = True

        def __init__(self) -> None:
            self.read: list[list[int]] = []

        def batch_end(self, step: Step) -> None:
            assert len(step.outputs["logits"]) == step.batch.num_samples == step.size
            self.read.append(step.batch["idx"].tolist())

    reads = [[Reads(), Reads()] for _ in range(2)]
    alone, together = (
        [run_of(*SHORT, f"seed={n}", others={"reads": each}) for n, each in enumerate(of)]
        for of in reads
    )
    train_alone(alone)
    train_together(together)
    assert [each.read for each in reads[0]] == [each.read for each in reads[1]]
    assert reads[0][0].read != reads[0][1].read


def test_members_that_end_early_or_fail_leave_the_others_as_they_were() -> None:
    def ending(early: int, losses: Losses) -> list[Run]:
        first, last = (run_of(*SHORT, f"seed={seed}", "num_epochs=3") for seed in (0, 2))
        return [first, run_of(*SHORT, "seed=1", f"num_epochs={early}", losses=losses), last]

    undisturbed = ending(3, Losses())
    train_together(undisturbed)
    for runs in (ending(1, Losses()), ending(3, Losses(fails_at=7))):
        train_together(runs)
        for run, other in ((runs[0], undisturbed[0]), (runs[2], undisturbed[2])):
            assert run.losses.values == other.losses.values
    assert isinstance(runs[1].error, ValueError)
    assert len(runs[1].losses.values) == 7


class Spoils:
    """Puts a nan into the batch of one step."""

    supports_members = True
    before = ("losses",)

    def __init__(self, at: int) -> None:
        self.at = at
        self.seen = 0

    def batch_start(self, step: Step) -> None:
        self.seen += 1
        if self.seen == self.at:
            image = step.batch["image"].float()
            step.batch["image"] = image.index_fill(0, torch.tensor([3]), float("nan"))
        else:
            step.batch["image"] = step.batch["image"].float()


def spoilt(model: str, at: int | None, *overrides: str, seed: int = 0) -> Run:
    others = {"spoils": Spoils(at or -1)}
    return run_of(*MODELS[model], *SHORT, f"seed={seed}", *overrides, others=others)


@pytest.mark.parametrize("model", ["mlp", "batch norm"])
def test_a_member_whose_loss_is_nan_fails_with_the_message_of_the_run_alone(model: str) -> None:
    alone = spoilt(model, 5)
    with pytest.raises(DataError) as expected:
        alone.host.run()
    runs = [spoilt(model, None, seed=1), spoilt(model, 5), spoilt(model, None, seed=2)]
    undisturbed = [spoilt(model, None, seed=1), spoilt(model, None, seed=2)]
    train_together(undisturbed, rows=[0, 2], size=3)
    train_together(runs)
    assert str(runs[1].error) == str(expected.value)
    assert str(expected.value).startswith("step 5: the loss is nan; samples ")
    for run, other in zip(runs[::2], undisturbed, strict=True):
        assert run.error is None
        assert run.losses.values == other.losses.values


@pytest.mark.parametrize("model", MODELS)
def test_a_step_that_is_skipped_leaves_all_as_it_was(model: str, doubles: None) -> None:
    skip = "plugins.descent.guard.action=skip"
    alone = [spoilt(model, 5, skip, seed=0), spoilt(model, None, skip, seed=1)]
    together = [spoilt(model, 5, skip, seed=0), spoilt(model, None, skip, seed=1)]
    train_alone(alone)
    train_together(together)
    for one, other in zip(alone, together, strict=True):
        assert other.error is None
        assert worst_difference_without_skipped(one, other) < 1e-10
        for name, value in one.weights.items():
            # A bias before a norm has no gradient but rounding, of which Adam makes steps.
            torch.testing.assert_close(other.weights[name], value, rtol=1e-8, atol=1e-7)


def worst_difference_without_skipped(alone: Run, together: Run) -> float:
    pairs = zip(alone.losses.values, together.losses.values, strict=True)
    return max(abs(a - b) / (abs(a) or 1) for a, b in pairs)  # type: ignore[operator]


class Saves:
    """Keeps what is saved after some steps and after each epoch, as a file holds it."""

    supports_members = True

    def __init__(self, *at: int) -> None:
        self.at = at
        self.seen = 0
        self.files: list[bytes] = []

    def state_dict(self) -> dict[str, Any]:
        return {"seen": self.seen}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.seen = state["seen"]

    def batch_end(self, step: Step) -> ShouldSave | None:
        self.seen += 1
        return ShouldSave(self._save) if self.seen in self.at else None

    def _save(self, state: dict[str, Any]) -> None:
        file = io.BytesIO()
        torch.save(state, file)
        self.files.append(file.getvalue())


DROPOUT = ("model=simple_cnn", "model.channels=[4]", "model.kernel_size=3", "model.dropout=0.5")
RESUMED = {
    **MODELS,
    "dropout": DROPOUT,
    "sgd": ("optimizer=sgd",),
    "ema": ("plugins=[default,ema]",),
}


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param(kind, marks=() if kind in ("mlp", "dropout") else pytest.mark.slow)
        for kind in RESUMED
    ],
)
def test_a_group_that_is_resumed_ends_with_the_same_bits(kind: str) -> None:
    """Whatever members have ended, and from whichever steps the others go on."""

    def made(number: int) -> list[tuple[Run, Saves]]:
        saves = [Saves(4, 7, 13) for _ in range(number)]
        return [
            (run_of(*RESUMED[kind], *SHORT, f"seed={n}", others={"saves": each}), each)
            for n, each in enumerate(saves)
        ]

    whole = made(3)
    train_together([run for run, _ in whole])
    again = made(3)
    places = {0: 13, 2: 4}  # member 1 has ended; 0 was saved later than 2
    for row, place in places.items():
        file = whole[row][1].files[(4, 7, 13).index(place)]
        again[row][0].host.load_state_dict(torch.load(io.BytesIO(file)))
    train_together([again[row][0] for row in places], rows=list(places), size=3)
    for row, place in places.items():
        before, after = whole[row][0], again[row][0]
        assert after.error is None
        assert after.losses.values == before.losses.values[place:]
        for name, value in before.weights.items():
            assert torch.equal(after.weights[name], value), name
        assert same_bits(after.host.state_dict(), before.host.state_dict(), without="saves")


def same_bits(one: Any, other: Any, without: str) -> bool:
    if isinstance(one, dict):
        assert list(map(str, one)) == list(map(str, other))
        return all(same_bits(one[key], other[key], without) for key in one if key != without)
    if isinstance(one, list | tuple):
        return all(same_bits(a, b, without) for a, b in zip(one, other, strict=True))
    return torch.equal(one, other) if isinstance(one, torch.Tensor) else bool(one == other)


def test_what_a_member_saves_is_its_own_and_resumes_alone(doubles: None) -> None:
    saves = Saves(13)
    together = [run_of(*SHORT, f"seed={n}", others={"saves": Saves(13)}) for n in range(7)]
    together[0] = run_of(*SHORT, "seed=0", others={"saves": saves})
    train_together(together)
    alone_saves = Saves(13)
    alone = run_of(*SHORT, "seed=0", others={"saves": alone_saves})
    alone.host.run()
    assert len(saves.files[0]) == pytest.approx(len(alone_saves.files[0]), rel=0.02)
    resumed = run_of(*SHORT, "seed=0", others={"saves": Saves()})
    resumed.host.load_state_dict(torch.load(io.BytesIO(saves.files[0])))
    resumed.host.run()
    assert resumed.losses.values == pytest.approx(alone.losses.values[13:], rel=1e-10)


def test_outside_of_its_batches_a_member_has_tensors_of_its_own() -> None:
    class Looks:
        def __init__(self) -> None:
            self.bytes: list[int] = []

        def epoch_end(self) -> None:
            model = run.descent.model
            tensors = [*model.parameters(), *run.descent.opt.state[model.head.linear.bias].values()]
            self.bytes = [each.untyped_storage().nbytes() - each.nbytes for each in tensors]

    looks = Looks()
    run = run_of(*SHORT, others={"looks": looks})
    train_together([run, run_of(*SHORT, "seed=1")])
    assert run.error is None
    assert looks.bytes
    assert not any(looks.bytes)


def test_a_wrong_label_is_named_and_is_that_of_one_member() -> None:
    class Mislabels:
        supports_members = True

        def batch_start(self, step: Step) -> None:
            step.batch["target"] = step.batch["target"].clone()
            step.batch["target"][0] = 99

    wrong = run_of(*SHORT, others={"mislabels": Mislabels()})
    right = run_of(*SHORT, "seed=1")
    train_together([wrong, right])
    assert str(wrong.error).startswith("'target' has labels other than 0 to 9: 99 at idx")
    assert right.error is None
    assert len(right.losses.values) == 20


def test_a_plugin_that_freezes_a_parameter_is_noticed() -> None:
    class Freezes:
        def epoch_start(self) -> None:
            run.descent.model.head.linear.bias.requires_grad_(False)

    run = run_of(*SHORT, others={"freezes": Freezes()})
    other = run_of(*SHORT, "seed=1")
    train_together([run, other])
    assert "has changed which parameters are trained" in str(run.error)
    assert other.error is None


def test_augmentation_is_that_of_the_run_alone(doubles: None) -> None:
    noisy = "data.datasets.train={_target_:tests.training.members.grouped.noisy_digits}"
    alone, together = (
        [run_of(*SHORT, noisy, f"seed={n}", others={"saves": Saves()}) for n in range(2)]
        for _ in range(2)
    )
    train_alone(alone)
    train_together(together)
    for one, other in zip(alone, together, strict=True):
        assert other.error is None
        assert worst_difference(one, other) < 1e-10


@pytest.mark.long
def test_what_a_sweep_concludes_is_the_same() -> None:
    """Mean and spread of the accuracy over 8 seeds, of a network with dropout and ReLUs."""
    alone, together = (members(*DROPOUT, "num_epochs=4", number=8) for _ in range(2))
    train_alone(alone)
    train_together(together)
    found = [
        torch.tensor([run.reported["val/accuracy"] for run in runs]) for runs in (alone, together)
    ]
    spread = max(each.std().item() for each in found)
    assert abs(found[0].mean() - found[1].mean()) < spread
    assert abs(found[0].std() - found[1].std()) < spread


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")
@pytest.mark.parametrize(
    "model",
    [pytest.param(name, marks=() if name == "mlp" else pytest.mark.long) for name in MODELS],
)
def test_compiled_the_losses_are_the_same(model: str, doubles: None) -> None:
    alone, together = (members(*MODELS[model], *SHORT, number=2) for _ in range(2))
    train_alone(alone)
    train_together(together, compile=True)
    for one, other in zip(alone, together, strict=True):
        assert other.error is None
        assert worst_difference(one, other) < 1e-10
