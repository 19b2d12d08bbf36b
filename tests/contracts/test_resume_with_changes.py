"""What goes on with other settings: they win, and what was learnt stays.

Without a change, the bits are those of a run that was never interrupted.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from torch import nn
from torch.optim import lr_scheduler as lrs

import legoloop as ll
from legoloop.state.checkpoints import read_checkpoint, write_checkpoint
from legoloop.training.schedules.lr_schedules import WarmupSchedule
from legoloop.zoo.optimizers import Lion
from tests.tiny import mean_loss, weights

SAMPLES, BATCH, STEPS = 24, 4, 6  # STEPS: of an epoch
Optimizer = torch.optim.Optimizer
MakeOptimizer = Callable[..., Optimizer]
Make = Callable[[Optimizer, int], Any]
"""A scheduler for so many epochs."""

OPTIMIZERS: dict[str, MakeOptimizer] = {
    name: kind
    for name, kind in vars(torch.optim).items()
    if isinstance(kind, type) and issubclass(kind, Optimizer)
    if name not in ("Optimizer", "LBFGS", "SparseAdam", "Muon")  # Muon: of matrices alone
} | {"Lion": Lion}


def sequential(opt: Optimizer, epochs: int) -> lrs.LRScheduler:
    parts = [lrs.LinearLR(opt, 0.1, total_iters=2), lrs.CosineAnnealingLR(opt, epochs * STEPS)]
    return lrs.SequentialLR(opt, parts, milestones=[epochs])


def chained(opt: Optimizer, epochs: int) -> lrs.LRScheduler:
    return lrs.ChainedScheduler([lrs.ExponentialLR(opt, 0.9), lrs.LinearLR(opt, 0.5, 1.0, epochs)])


class OwnSchedule(lrs.LRScheduler):
    """Of a user: the rate falls in steps of its own, from where it is."""

    def __init__(self, optimizer: Optimizer, length: int) -> None:
        self.length = length
        super().__init__(optimizer)

    def get_lr(self) -> list[Any]:
        first = self.last_epoch == 0
        return [
            g["lr"] * (1 if first else 1 - 1 / self.length) for g in self.optimizer.param_groups
        ]


def falling(progress: float, power: float = 1.0) -> float:
    return float((1 - progress) ** power)


PER_STEP: dict[str, Make] = {
    "OneCycleLR": lambda opt, epochs: lrs.OneCycleLR(opt, 0.1, total_steps=epochs * STEPS),
    "CyclicLR": lambda opt, epochs: lrs.CyclicLR(
        opt, 0.001, 0.1, step_size_up=epochs + 3, mode="triangular2", cycle_momentum=False
    ),
    "WarmRestarts": lambda opt, epochs: lrs.CosineAnnealingWarmRestarts(opt, T_0=epochs, T_mult=2),
    "SequentialLR": sequential,
    "WarmupSchedule": lambda opt, epochs: WarmupSchedule(opt, falling, epochs * STEPS, 3, power=2),
    **{
        kind.__name__: lambda opt, epochs, kind=kind: kind(opt, epochs * STEPS, 0.25)
        for kind in (ll.warmup_constant, ll.warmup_cosine, ll.warmup_linear)
    },
    **{
        kind.__name__: lambda opt, epochs, kind=kind: kind(opt, epochs * STEPS, 0.25)
        for kind in (ll.warmup_polynomial, ll.warmup_step)
    },
}
PER_EPOCH: dict[str, Make] = {
    "StepLR": lambda opt, epochs: lrs.StepLR(opt, step_size=epochs, gamma=0.5),
    "MultiStepLR": lambda opt, epochs: lrs.MultiStepLR(opt, [epochs // 2, epochs - 1], gamma=0.5),
    "ConstantLR": lambda opt, epochs: lrs.ConstantLR(opt, 0.5, total_iters=epochs - 1),
    "LinearLR": lambda opt, epochs: lrs.LinearLR(opt, 0.1, 1.0, total_iters=epochs),
    "ExponentialLR": lambda opt, epochs: lrs.ExponentialLR(opt, 1 - 1 / (epochs + 1)),
    "PolynomialLR": lambda opt, epochs: lrs.PolynomialLR(opt, epochs, power=2.0),
    "CosineAnnealingLR": lambda opt, epochs: lrs.CosineAnnealingLR(opt, T_max=epochs),
    "LambdaLR": lambda opt, epochs: lrs.LambdaLR(opt, lambda epoch: 1 / (1 + epoch / epochs)),
    "MultiplicativeLR": lambda opt, epochs: lrs.MultiplicativeLR(opt, lambda _: 1 - 1 / epochs),
    "ChainedScheduler": chained,
    "OwnSchedule": lambda opt, epochs: OwnSchedule(opt, epochs + 1),
}
SCHEDULES: dict[str, tuple[Make, Literal["step", "epoch"]]] = {
    **{name: (make, "step") for name, make in PER_STEP.items()},
    **{name: (make, "epoch") for name, make in PER_EPOCH.items()},
}


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body, self.head = nn.Linear(4, 3), nn.Linear(3, 3)

    def forward(self, batch: dict[str, Any]) -> dict[str, torch.Tensor]:
        return {"logits": self.head(self.body(batch["x"]).tanh())}


class Notes:
    """Notes the settings with which each step is made, and the samples of it."""

    def __init__(self, opt: Optimizer) -> None:
        self.opt = opt
        self.seen: list[tuple[Any, ...]] = []
        self.samples: list[list[int]] = []

    @property
    def rates(self) -> list[Any]:
        return [settings[0] for settings in self.seen]

    def batch(self, step: ll.Step) -> None:
        group = self.opt.param_groups[0]
        self.seen.append(tuple(group.get(key) for key in ("lr", "momentum", "betas")))
        self.samples.append(step.batch["idx"].tolist())


class Alternates:
    """A metric that gets better and worse."""

    value = 1.0

    def __init__(self, counter: ll.Counter) -> None:
        self.counter = counter

    def scalars(self) -> dict[str, float]:
        return {"val/loss": [1.0, 0.5, 0.6, 0.55][self.counter.epochs % 4]}


class Keeps:
    """Keeps the state after so many steps, copied as a file would be."""

    def __init__(self, counter: ll.Counter, at: int) -> None:
        self.counter, self.at = counter, at
        self.state: dict[str, Any] | None = None

    def batch_end(self, step: ll.Step) -> ll.ShouldSave | None:
        return ll.ShouldSave(self.keep) if self.counter.steps == self.at else None

    def keep(self, state: dict[str, Any]) -> None:
        self.state = copy.deepcopy(state)


@dataclass
class Settings:
    """What a run is configured with."""

    optimizer: MakeOptimizer = torch.optim.Adam
    lr: float = 0.01
    epochs: int = 4
    schedule: str | None = None
    length: int | None = None  # in epochs, of the curve
    plateau: dict[str, Any] | None = None
    batch: int = BATCH
    groups: bool = False
    given: dict[str, Any] = field(default_factory=dict)


class Run:
    def __init__(self, settings: Settings, keep_at: int = 0, *others: Any) -> None:
        ll.seed(0)
        torch.set_num_threads(1)
        generator = torch.Generator().manual_seed(5)
        x = torch.randn(SAMPLES, 4, generator=generator)
        data = {"x": x, "target": x[:, :3].argmax(1), "idx": torch.arange(SAMPLES)}
        self.model = Net()
        params: Any = self.model.parameters()
        if settings.groups:
            params = ll.param_groups(self.model, head={"patterns": ["body.*"], "lr": 0.002})
        self.opt = settings.optimizer(params, lr=settings.lr, **settings.given)
        self.counter, self.notes = ll.Counter(), Notes(self.opt)
        config = ll.LoaderConfig(batch_size=settings.batch)
        self.stream = ll.BatchStream(ll.ColumnDataset(data), "train", 0, config)
        feed = ll.Feed(self.model, "cpu")
        plugins: dict[str, object] = {
            "counter": self.counter,
            "epoch": ll.SimpleEpoch(self.stream),
            "descent": ll.GradientDescent(self.opt, self.model, feed, mean_loss),
            "last": ll.LastEpoch(self.counter, settings.epochs),
        }
        if settings.schedule is not None:
            make, interval = SCHEDULES[settings.schedule]
            schedule = make(self.opt, settings.length or settings.epochs)
            plugins["lr_scheduler"] = ll.LRScheduler(schedule, self.counter, interval)
        if settings.plateau is not None:
            plateau = lrs.ReduceLROnPlateau(self.opt, **settings.plateau)
            source = Alternates(self.counter)
            plugins["lr_scheduler"] = ll.ReduceLROnPlateauPlugin(plateau, source, "val/loss")
        plugins["notes"] = self.notes
        self.keeps = Keeps(self.counter, keep_at)
        for other in others:
            plugins[type(other).__name__] = other
        self.host = ll.TrainingHost({**plugins, "keeps": self.keeps}, seed=0)

    def run(self) -> Run:
        self.host.run()
        return self

    def saved(self) -> dict[str, Any]:
        """The state in the middle, if there is one, else that of the end."""
        return self.keeps.state or copy.deepcopy(self.host.state_dict())

    def outcome(self) -> Any:
        state = self.opt.state_dict()
        moments = [
            v.numpy().tobytes() if isinstance(v, torch.Tensor) else v
            for each in state["state"].values()
            for v in each.values()
        ]
        return weights(self.model), moments, repr(state["param_groups"])


def resumed(saved: dict[str, Any], settings: Settings, *others: Any) -> Run:
    run = Run(settings, 0, *others)
    run.host.load_state_dict(saved, strict=False)
    return run.run()


AT = (STEPS * 2, STEPS * 2 + 3)
"""After an epoch, and in the middle of one."""
HALF_OF_THEM = [pytest.param(AT[0], marks=pytest.mark.slow), AT[1]]


@pytest.mark.parametrize("at", HALF_OF_THEM)
@pytest.mark.parametrize(
    ("optimizer", "schedule"),
    [
        ("Adam", "OneCycleLR"),
        *((name, "warmup_linear") for name in OPTIMIZERS),
        *(("SGD", name) for name in SCHEDULES if name != "warmup_linear"),
    ],
)
def test_without_a_change_the_bits_of_an_uninterrupted_run(
    optimizer: str, schedule: str, at: int, tmp_path: Path
) -> None:
    given = {"momentum": 0.9} if optimizer == "SGD" else {}
    settings = Settings(OPTIMIZERS[optimizer], schedule=schedule, given=given)
    whole = Run(settings, at).run()
    assert whole.keeps.state is not None
    write_checkpoint(tmp_path / "kept", whole.keeps.state)

    again = resumed(read_checkpoint(tmp_path / "kept"), settings)

    assert again.notes.seen == whole.notes.seen[at:]
    assert again.outcome() == whole.outcome()


class Halves:
    """A user's plugin that sets the rate once, outside of any scheduler."""

    def __init__(self, at: int) -> None:
        self.at = at
        self.opt: Any = None
        self.epochs = 0

    def epoch_end(self) -> None:
        self.epochs += 1
        if self.epochs == self.at:
            self.opt.param_groups[0]["lr"] *= 0.5

    def state_dict(self) -> dict[str, int]:
        return {"epochs": self.epochs}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self.epochs = state["epochs"]


def with_halves(settings: Settings, keep_at: int) -> Run:
    halves = Halves(at=1)
    run = Run(settings, keep_at, halves)
    halves.opt = run.opt
    return run


@pytest.mark.parametrize("at", AT)
def test_a_rate_that_a_plateau_or_a_hook_changed_goes_on(at: int) -> None:
    plateau = {"factor": 0.5, "patience": 0, "threshold": 0.0}
    settings = Settings(plateau=plateau)
    whole = with_halves(settings, at).run()
    assert len(set(whole.notes.rates)) > 2

    again = with_halves(settings, 0)
    again.host.load_state_dict(whole.saved())
    again.run()

    assert again.notes.seen == whole.notes.seen[at:]
    assert again.outcome() == whole.outcome()


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("before", [2, pytest.param(3, marks=pytest.mark.slow)])
def test_more_epochs_are_trained_at_the_rates_of_a_run_of_so_many(
    schedule: str, before: int
) -> None:
    first = Run(Settings(schedule=schedule, epochs=before)).run()
    whole = Run(Settings(schedule=schedule, epochs=5)).run()

    again = resumed(first.saved(), Settings(schedule=schedule, epochs=5))

    assert again.notes.seen == whole.notes.seen[before * STEPS :]


@pytest.mark.parametrize("at", HALF_OF_THEM)
@pytest.mark.parametrize("schedule", [None, *SCHEDULES])
def test_another_rate_is_trained_at(schedule: str | None, at: int) -> None:
    first = Run(Settings(schedule=schedule), at).run()
    whole = Run(Settings(schedule=schedule, lr=0.5)).run()

    again = resumed(first.saved(), Settings(schedule=schedule, lr=0.5))

    assert again.notes.seen == whole.notes.seen[at:]
    if schedule not in ("OneCycleLR", "CyclicLR"):  # whose rates are their own
        assert again.notes.rates != first.notes.rates[at:]


@pytest.mark.parametrize("at", AT)
@pytest.mark.parametrize(
    ("before", "now"),
    [
        *itertools.permutations(["OneCycleLR", "CosineAnnealingLR", "warmup_cosine", None], 2),
        ("warmup_cosine", "warmup_linear"),
        ("StepLR", "ChainedScheduler"),
    ],
)
def test_another_schedule_goes_on_at_its_place(
    before: str | None, now: str | None, at: int
) -> None:
    given = {"momentum": 0.9}
    first = Run(Settings(torch.optim.SGD, schedule=before, given=given), at).run()
    whole = Run(Settings(torch.optim.SGD, schedule=now, given=given)).run()

    again = resumed(first.saved(), Settings(torch.optim.SGD, schedule=now, given=given))

    assert again.notes.seen == whole.notes.seen[at:]


@pytest.mark.parametrize("schedule", [None, "CosineAnnealingLR", "OneCycleLR"])
def test_a_plateau_and_a_schedule_replace_each_other(schedule: str | None) -> None:
    at, eager = AT[1], {"factor": 0.5, "patience": 0, "threshold": 0.0}
    reduced = Run(Settings(plateau=eager), at).run()
    whole = Run(Settings(schedule=schedule)).run()
    again = resumed(reduced.saved(), Settings(schedule=schedule))
    assert again.notes.seen == whole.notes.seen[at:]

    scheduled = Run(Settings(schedule=schedule), at).run()
    patient = resumed(scheduled.saved(), Settings(plateau={"patience": 99}))
    assert set(patient.notes.rates) == {0.01}


def test_a_plateau_with_other_settings_keeps_what_it_saw() -> None:
    first = Run(Settings(plateau={"factor": 0.5, "patience": 0, "threshold": 0.0}), STEPS * 2).run()
    saved = first.saved()
    again = Run(Settings(plateau={"factor": 0.1, "patience": 7, "threshold": 0.0}))
    again.host.load_state_dict(saved, strict=False)

    scheduler = again.host.plan.plugins["lr_scheduler"].scheduler  # type: ignore[attr-defined]
    assert (scheduler.factor, scheduler.patience) == (0.1, 7)
    assert scheduler.best == saved["plugins"]["lr_scheduler"]["scheduler"]["best"] < float("inf")
    assert (
        again.opt.param_groups[0]["lr"]
        == saved["plugins"]["descent"]["opt"]["param_groups"][0]["lr"]
    )


CHANGES: dict[str, dict[str, Any]] = {
    "Adam": {"betas": (0.5, 0.6), "eps": 1e-3, "weight_decay": 0.1, "amsgrad": True},
    "AdamW": {"weight_decay": 0.3, "amsgrad": True},
    "SGD": {"momentum": 0.9, "nesterov": True, "weight_decay": 0.1},
    "RMSprop": {"alpha": 0.5, "centered": True, "momentum": 0.9},
    "Adagrad": {"lr_decay": 0.1, "eps": 1e-3},
    "NAdam": {"momentum_decay": 0.1, "betas": (0.5, 0.6)},
    "Rprop": {"etas": (0.4, 1.3)},
}


@pytest.mark.parametrize("optimizer", CHANGES)
def test_settings_of_the_optimizer_are_those_that_are_configured(optimizer: str) -> None:
    kind, changes = OPTIMIZERS[optimizer], CHANGES[optimizer]
    saved = Run(Settings(kind), STEPS).run().saved()
    for given in [changes, *({key: changes[key]} for key in changes if key != "nesterov")]:
        again = resumed(saved, Settings(kind, given=given))
        assert {key: again.opt.param_groups[0][key] for key in given} == given
        assert all(torch.isfinite(weight).all() for weight in again.model.parameters())


def test_moments_stay_where_they_fit() -> None:
    saved = Run(Settings(), STEPS).run().saved()
    of_the_state = saved["plugins"]["descent"]["opt"]["state"][0]["exp_avg"]
    for settings in (
        Settings(lr=0.5),
        Settings(torch.optim.AdamW),
        Settings(given={"eps": 1e-3}),
        Settings(groups=True),
    ):
        run = Run(settings)
        run.host.load_state_dict(copy.deepcopy(saved), strict=False)
        first = run.model.body.weight
        assert torch.equal(run.opt.state[first]["exp_avg"], of_the_state)


def pairs() -> list[Any]:
    """Each with its neighbours; all of them in the slow tests."""
    names = [*OPTIMIZERS]
    return [
        pytest.param(*pair, marks=() if abs(near_by) == 1 else pytest.mark.slow)
        for pair in itertools.permutations(names, 2)
        if (near_by := names.index(pair[0]) - names.index(pair[1]))
    ]


@pytest.mark.parametrize(("before", "now"), pairs())
def test_another_optimizer_is_the_one_that_is_configured(
    before: str, now: str, caplog: pytest.LogCaptureFixture
) -> None:
    saved = _saved_by(before)
    again = Run(Settings(OPTIMIZERS[now], epochs=2))
    configured = repr([_settings(group) for group in again.opt.param_groups])
    again.host.load_state_dict(copy.deepcopy(saved), strict=False)
    again.run()

    assert repr([_settings(group) for group in again.opt.param_groups]) == configured
    family = {before, now} == {"Adam", "AdamW"}
    assert ("begins with fresh moments" in caplog.text) != family
    if not family:
        fresh = Run(Settings(OPTIMIZERS[now], epochs=1)).run()
        assert [s.keys() for s in again.opt.state.values()] == [
            s.keys() for s in fresh.opt.state.values()
        ]


_SAVED: dict[str, Any] = {}


def _saved_by(name: str) -> dict[str, Any]:
    if name not in _SAVED:
        _SAVED[name] = Run(Settings(OPTIMIZERS[name], epochs=1)).run().saved()
    return _SAVED[name]


def _settings(group: dict[str, Any]) -> dict[str, Any]:
    return {key: group[key] for key in sorted(group) if key != "params"}


def test_groups_may_change_and_have_the_rates_that_are_configured() -> None:
    one = Run(Settings(schedule="CosineAnnealingLR"), STEPS).run().saved()
    two = resumed(one, Settings(schedule="CosineAnnealingLR", groups=True))
    whole = Run(Settings(schedule="CosineAnnealingLR", groups=True)).run()
    assert two.notes.seen == whole.notes.seen[STEPS:]

    back = resumed(two.saved(), Settings(schedule="CosineAnnealingLR", epochs=5))
    assert (
        back.notes.rates
        == Run(Settings(schedule="CosineAnnealingLR", epochs=5)).run().notes.rates[4 * STEPS :]
    )


@pytest.mark.parametrize("now", [2, 3, 6, 8, 12, 24])
@pytest.mark.parametrize("at", [1, 3, 5, STEPS, STEPS + 2])
def test_another_batch_size_serves_every_sample_of_an_epoch_once(at: int, now: int) -> None:
    first = Run(Settings(), at).run()
    again = resumed(first.saved(), Settings(batch=now))

    served = [n for batch in first.notes.samples[:at] + again.notes.samples for n in batch]
    epochs = [served[n : n + SAMPLES] for n in range(0, len(served), SAMPLES)]
    assert [sorted(epoch) for epoch in epochs] == [list(range(SAMPLES))] * 4
    whole = Run(Settings(batch=now)).run()
    later = SAMPLES // now * (1 + at // STEPS)
    assert again.notes.samples[-len(whole.notes.samples[later:]) :] == whole.notes.samples[later:]


@pytest.mark.parametrize("schedule", ["warmup_linear", "OneCycleLR", "CosineAnnealingLR"])
@pytest.mark.parametrize("now", [2, 8])
def test_a_curve_goes_on_at_the_sample_where_it_was(
    schedule: str, now: int, monkeypatch: Any
) -> None:
    first = Run(Settings(schedule=schedule), STEPS * 2).run()
    monkeypatch.setattr("tests.contracts.test_resume_with_changes.STEPS", SAMPLES // now)
    again = resumed(first.saved(), Settings(schedule=schedule, batch=now))
    whole = Run(Settings(schedule=schedule, batch=now)).run()

    assert again.notes.seen == whole.notes.seen[2 * SAMPLES // now :]
    half = Run(Settings(schedule=schedule, batch=now))
    half.host.load_state_dict(again.saved(), strict=False)
    assert half.opt.param_groups[0]["lr"] == whole.opt.param_groups[0]["lr"]


def test_a_curve_of_so_many_steps_goes_on_at_its_step() -> None:
    """Where the number of steps is configured, it does not depend on the batch size."""
    first = Run(Settings(schedule="warmup_linear"), STEPS * 2).run()
    again = resumed(first.saved(), Settings(schedule="warmup_linear", batch=8))
    assert again.notes.seen == first.notes.seen[STEPS * 2 :][: len(again.notes.seen)]


def test_a_state_without_what_was_constructed_is_loaded_as_it_is() -> None:
    """Checkpoints of earlier versions."""
    settings = Settings(torch.optim.SGD, schedule="OneCycleLR", given={"momentum": 0.9})
    whole = Run(settings, AT[1]).run()
    saved = whole.saved()
    new = {
        "descent": ["opt_constructed"],
        "lr_scheduler": ["ahead", "interval", "total_steps", "constructed"],
    }
    for plugin, keys in new.items():
        for key in keys:
            del saved["plugins"][plugin][key]
    saved["plugins"]["epoch"]["train_iterator"] = {"position": AT[1]}
    del saved["seed"]

    again = Run(settings)
    again.host.load_state_dict(saved)
    assert again.run().notes.seen == whole.notes.seen[AT[1] :]
    assert again.outcome() == whole.outcome()


def test_two_schedulers_of_an_optimizer_go_on_unchanged_or_not_at_all() -> None:
    def run(epochs: int, keep_at: int = 0) -> Run:
        made = Run(Settings(schedule="warmup_linear", epochs=epochs), keep_at)
        second = lrs.ExponentialLR(made.opt, 0.9)
        plugins = {**made.host.plan.plugins, "second": ll.LRScheduler(second, made.counter)}
        made.host = ll.TrainingHost(plugins, seed=0)
        return made

    whole = run(4, AT[1]).run()
    again = run(4)
    again.host.load_state_dict(whole.saved())
    assert again.run().notes.seen == whole.notes.seen[AT[1] :]

    more = run(5)
    with pytest.raises(ll.DataError, match="several schedulers set the rates of one optimizer"):
        more.host.load_state_dict(whole.saved(), strict=False)


def test_a_scaler_keeps_its_scale_and_takes_its_settings() -> None:
    def descent(**given: Any) -> ll.GradientDescent:
        model = Net()
        scaler = torch.amp.GradScaler("cpu", **given)
        opt = torch.optim.SGD(model.parameters())
        return ll.GradientDescent(opt, model, ll.Feed(model, "cpu"), mean_loss, scaler=scaler)

    saved = descent(init_scale=8.0, growth_interval=5).state_dict()
    now = descent(init_scale=2.0, growth_interval=7, growth_factor=3.0)
    now.load_state_dict(saved)
    assert now.scaler is not None
    state = now.scaler.state_dict()
    assert (state["scale"], state["growth_interval"], state["growth_factor"]) == (8.0, 7, 3.0)

    disabled = descent(enabled=False)
    disabled.load_state_dict(saved)
    now.load_state_dict(disabled.state_dict())
    assert now.scaler.get_scale() == 8.0


def test_another_seed_draws_other_numbers() -> None:
    def drawn(seed: int, saved: dict[str, Any] | None = None) -> tuple[float, dict[str, Any]]:
        class Draws:
            def batch_start(self, step: ll.Step) -> None:
                self.number = torch.rand(()).item()

        made, draws = Run(Settings(epochs=2 if saved else 1)), Draws()
        host = ll.TrainingHost({**made.host.plan.plugins, "draws": draws}, seed=seed)
        if saved is not None:
            host.load_state_dict(saved, strict=False)
        host.run()
        return draws.number, copy.deepcopy(host.state_dict())

    _, saved = drawn(0)
    assert drawn(0, saved)[0] == drawn(0, saved)[0] != drawn(1, saved)[0]


@pytest.mark.parametrize(
    ("now", "told"),
    [
        ({"shuffle": False}, "shuffle was True, is False; seed was 0, is None"),
        ({"sampler": ll.BucketSampler(4, key="idx")}, "sampler was None, is .*BucketSampler"),
    ],
)
def test_the_order_changes_between_passes_alone(now: dict[str, Any], told: str) -> None:
    def stream(**given: Any) -> ll.BatchStream:
        data = ll.ColumnDataset({"idx": torch.arange(SAMPLES)})
        return ll.BatchStream(data, "train", 0, ll.LoaderConfig(batch_size=BATCH, **given))

    first = stream()
    next(first)
    changed = stream(**now)
    with pytest.raises(ll.DataError, match=f"'train' is in the middle of a pass.*{told}"):
        changed.load_state_dict(first.state_dict())
    for _ in range(STEPS - 1):
        next(first)
    changed.load_state_dict(first.state_dict())
    fresh = stream(**now)
    for _ in range(STEPS):
        next(fresh)
    assert next(changed)["idx"].tolist() == next(fresh)["idx"].tolist()


@pytest.mark.parametrize("kind", ["early stopping", "best weights"])
def test_the_best_value_is_that_of_the_same_metric(kind: str, tmp_path: Path) -> None:
    class Told:
        def scalars(self) -> dict[str, float]:
            return {"loss": 1.0, "val/loss": 2.0}

    def made(metric: str, **given: Any) -> Any:
        if kind == "early stopping":
            return ll.EarlyStopping(Told(), metric, **given)
        return ll.BestModelWeights(Net(), tmp_path / "best.pt", Told(), metric)

    first = made("loss")
    first.epoch_end()
    same, other = made("loss"), made("val/loss")
    same.load_state_dict(first.state_dict())
    other.load_state_dict(first.state_dict())
    assert (same.best, other.best) == (1.0, None)
    if kind == "early stopping":
        patient = made("loss", patience=9, min_delta=0.5)
        patient.load_state_dict(first.state_dict())
        assert (patient.best, patient.patience, patient.min_delta) == (1.0, 9, 0.5)
