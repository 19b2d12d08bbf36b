from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import legoloop as ll
from legoloop.core.errors import ArgumentError, DataError
from tests.tiny import Net, Tiny, columns, mean_loss, sample_losses, tiny, weights

NAN, INF = float("nan"), float("inf")


def spoilt(value: float, *samples: int) -> ll.ColumnDataset:
    """The data of the tiny app, with a wrong number in the inputs of these samples."""
    given_columns = columns()
    given_columns["x"][list(samples), 1] = value
    idx = torch.arange(len(given_columns["x"])) + 100
    return ll.ColumnDataset({**given_columns, "idx": idx})


def guarded(parts: Tiny, *, loss: Any = mean_loss, feed: Any = None, **settings: Any) -> Tiny:
    """The app with a guard of these settings, which counts."""
    guard = ll.NonFiniteGuard(counter=parts.counter, **settings)
    parts.descent = ll.GradientDescent(parts.opt, parts.model, feed or parts.feed, loss, guard)
    return parts


def state(parts: Tiny) -> dict[str, torch.Tensor]:
    """Weights and buffers, copied."""
    return {name: value.clone() for name, value in parts.model.state_dict().items()}


def moments(parts: Tiny) -> list[torch.Tensor]:
    return [v.clone() for s in parts.opt.state_dict()["state"].values() for v in s.values()]


def same(left: Any, right: Any) -> bool:
    return all(torch.equal(*pair) for pair in zip(left, right, strict=True))


class Watches:
    """The state before every step, and which samples were in it."""

    def __init__(self, parts: Tiny) -> None:
        self.parts = parts
        self.state: dict[str, torch.Tensor] = {}
        self.moments: list[torch.Tensor] = []
        self.idx: list[int] = []

    def batch_start(self, step: ll.Step) -> None:
        self.state, self.moments = state(self.parts), moments(self.parts)
        self.idx = step.batch["idx"].tolist()


def stopped(parts: Tiny) -> str:
    """The message of a run that stops, its weights, optimizer and buffers untouched."""
    watches = Watches(parts)
    with pytest.raises(DataError) as error:
        parts.host(watches).run()
    assert same(state(parts).values(), watches.state.values())
    assert same(moments(parts), watches.moments)
    return str(error.value)


class DividesByZero(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x / 0


class SquareRoot(nn.Module):
    """The root of nothing: finite, but its gradient is not."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 3)

    def forward(self, batch: dict[str, Any]) -> dict[str, torch.Tensor]:
        return {"logits": (self.layer(batch["x"]) * 0).sqrt()}


@pytest.mark.parametrize("value", [NAN, INF, -INF])
@pytest.mark.parametrize("losses", [mean_loss, sample_losses])
def test_stops_at_a_wrong_input_and_names_it(value: float, losses: Any) -> None:
    parts = guarded(tiny(dataset=spoilt(value, 7)), loss=losses)

    message = stopped(parts)

    assert message == (
        f"step {parts.counter.steps + 1}: the loss is nan; samples idx 107 (of 4); "
        "not finite in the batch: 'x'; "
        "the first module whose output is not finite: layers.0 (Linear)"
    )


def test_names_the_first_module_and_every_sample_that_it_spoils() -> None:
    parts = tiny(batch_size=11)
    parts.model.layers.insert(1, DividesByZero())

    message = stopped(guarded(parts))

    assert "; samples idx " in message
    assert "and 3 more (all 11); the first" in message
    assert message.endswith("the first module whose output is not finite: layers.1 (DividesByZero)")


def test_names_the_samples_whose_own_loss_is_not_finite_and_the_loss() -> None:
    def divided(batch: dict[str, Any], outputs: dict[str, Any]) -> torch.Tensor:
        return sample_losses(batch, outputs) / (batch["idx"] != 105)

    parts = guarded(tiny(dataset=spoilt(0.0)), loss=divided)

    assert stopped(parts).endswith(
        "the loss is inf; samples idx 105 (of 4); "
        "the output of every module is finite, so it is the loss, divided"
    )


def test_names_the_whole_batch_where_nothing_tells_its_samples_apart() -> None:
    def log_of_nothing(batch: dict[str, Any], outputs: dict[str, Any]) -> torch.Tensor:
        return mean_loss(batch, outputs) + torch.zeros(()).log()

    parts = tiny(batch_size=22)
    message = stopped(guarded(parts, loss=log_of_nothing))

    assert message.startswith("step 1: the loss is -inf; samples idx ")
    assert ", and 14 more (all 22); " in message


def test_without_a_counter_and_without_idx_it_says_what_it_can() -> None:
    model = nn.Linear(1, 1)
    descent = ll.GradientDescent(
        torch.optim.SGD(model.parameters(), lr=0.1),
        model,
        lambda batch: (batch, {"y": model(batch["x"])}),
        lambda batch, outputs: outputs["y"].mean(),
    )
    step = ll.Step()
    step.batch = {"x": torch.tensor([[1.0], [NAN], [2.0]])}
    before = weights(model)

    with pytest.raises(DataError) as error:
        descent.batch(step)

    assert str(error.value) == (
        "the loss is nan; samples 1 of the batch, which has no idx (of 3); "
        "not finite in the batch: 'x'; "
        "the first module whose output is not finite: the model (Linear)"
    )
    assert weights(model) == before


def test_says_so_when_the_weights_were_wrong_before() -> None:
    parts = guarded(tiny(), action="skip")
    with torch.no_grad():
        parts.model.layers[4].bias[1] = NAN

    with pytest.raises(DataError, match=r"weights were not finite already: layers\.4\.bias; grad"):
        parts.host().run()


def test_says_so_when_only_chance_brought_it_about() -> None:
    class Chance(nn.Module):
        calls = 0

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.calls += 1
            return x * (NAN if self.calls == 1 else 1.0)

    parts = tiny()
    parts.model.layers.append(Chance())
    message = stopped(guarded(parts))
    assert message.endswith("it depends on random numbers that the model draws")


def test_looking_for_the_cause_leaves_generators_and_hooks_as_they_were() -> None:
    parts = guarded(tiny(dataset=spoilt(NAN, 7)), action="skip")
    after: list[torch.Tensor] = []
    allow_step = parts.descent.guard._allow_step

    def noted(step: ll.Step, losses: torch.Tensor, descent: ll.GradientDescent) -> bool:
        before = torch.get_rng_state()
        allowed = allow_step(step, losses, descent)
        assert torch.equal(torch.get_rng_state(), before)
        after.append(before)
        return allowed

    parts.descent.guard._allow_step = noted  # type: ignore[method-assign, assignment]
    parts.host().run()

    assert len(after) == 12
    assert all(module.training for module in parts.model.modules())
    assert not any(module._forward_hooks for module in parts.model.modules())


class Steps:
    """What other plugins see of each step."""

    def __init__(self, parts: Tiny) -> None:
        self.parts = parts
        self.state: dict[str, torch.Tensor] = {}
        self.unchanged: list[bool] = []
        self.seen: list[tuple[int, float]] = []

    def batch_start(self, step: ll.Step) -> None:
        self.state = state(self.parts)

    def batch_end(self, step: ll.Step) -> None:
        self.unchanged.append(same(state(self.parts).values(), self.state.values()))
        self.seen.append((step.size, step.loss.item()))


def test_a_step_that_is_skipped_leaves_no_trace_and_weighs_nothing() -> None:
    parts = guarded(tiny(num_epochs=1, dataset=spoilt(NAN, 7, 15)), action="skip")
    steps, loss = Steps(parts), ll.TrainLoss()

    parts.host(steps, loss).run()

    skipped = [step for step, was in zip(steps.seen, steps.unchanged, strict=True) if was]
    taken = [step for step, was in zip(steps.seen, steps.unchanged, strict=True) if not was]
    assert 1 <= len(skipped) <= 2
    assert set(skipped) == {(0, 0.0)}
    assert parts.counter.steps == 6
    assert parts.counter.samples == sum(size for size, _ in taken)
    expected = sum(size * value for size, value in taken) / parts.counter.samples
    assert loss.scalars()["loss"] == pytest.approx(expected)
    assert all(torch.isfinite(value).all() for value in state(parts).values())


def test_skipping_equals_never_having_seen_the_batch() -> None:
    def trained(steps: list[dict[str, Any]]) -> bytes:
        parts = guarded(tiny(), action="skip")
        for module in parts.model.modules():
            if isinstance(module, nn.Dropout):
                module.p = 0.0
        parts.descent.train_start()
        for batch in steps:
            step = ll.Step()
            step.batch, step.size = batch, 4
            parts.descent.batch(step)
        return weights(parts.model)

    good = [{key: column[at : at + 4] for key, column in columns().items()} for at in (0, 4, 8)]
    bad = {**good[1], "x": good[1]["x"] * NAN}
    assert trained([good[0], bad, good[1], bad, good[2]]) == trained(good)


def test_warns_at_growing_intervals(caplog: pytest.LogCaptureFixture) -> None:
    parts = guarded(tiny(num_epochs=4, dataset=spoilt(NAN, *range(22))), action="skip")
    before = state(parts)

    with caplog.at_level(logging.WARNING, "legoloop"):
        parts.host().run()

    assert [record.getMessage().split(": ")[0] for record in caplog.records] == [
        "step 1",
        "step 10",
    ]
    assert caplog.records[1].getMessage().endswith("the step is skipped (10 so far)")
    assert same(state(parts).values(), before.values())


def test_warn_takes_the_step_but_nothing_that_is_not_finite_is_saved(
    caplog: pytest.LogCaptureFixture,
) -> None:
    parts = guarded(tiny(num_epochs=1, dataset=spoilt(NAN, 7)), action="warn")

    with caplog.at_level(logging.WARNING, "legoloop"):
        parts.host().run()

    assert parts.counter.steps == 6
    assert "the step is made anyway (1 so far)" in caplog.records[0].getMessage()
    with pytest.raises(DataError, match=r"after step 6: these are not finite any more: model\.lay"):
        parts.descent.state_dict()


def infinite_gradient() -> Tiny:
    """The loss is finite, the gradient of the first step is not."""
    parts = tiny(num_epochs=1, epoch_size=4, loss=mean_loss)
    model = SquareRoot()
    parts.model, parts.feed = model, ll.Feed(model, "cpu")
    parts.opt = torch.optim.SGD(model.parameters(), lr=0.1)
    return parts


def test_gradients_are_looked_at_when_asked() -> None:
    message = stopped(guarded(infinite_gradient(), gradients=True))

    assert message.startswith(
        "step 1: the loss is 1.09861, but gradients are not finite: layer.weight, layer.bias; "
        "samples idx "
    )
    assert message.endswith("(all 4)")


def test_a_gradient_that_is_only_large_is_finite() -> None:
    parts = tiny(num_epochs=1)
    parts.opt = torch.optim.SGD(parts.model.parameters(), lr=1e-30)
    guarded(parts, loss=lambda batch, outputs: mean_loss(batch, outputs) * 1e30, gradients=True)

    parts.host().run()

    assert parts.counter.steps == 6


def test_unasked_a_last_step_that_spoils_the_weights_is_told_all_the_same() -> None:
    parts = guarded(infinite_gradient())
    with pytest.raises(DataError) as error:
        parts.host().run()
    assert str(error.value) == (
        "after step 1: these are not finite any more: model.layer.weight, model.layer.bias; "
        "gradients=true of the guard stops at the first gradient that is not"
    )


def test_nothing_that_is_not_finite_is_handed_out_to_be_saved() -> None:
    saved: list[Any] = []

    class SavesEachStep:
        def batch_end(self, step: ll.Step) -> ll.ShouldSave:
            return ll.ShouldSave(saved.append)

    parts = guarded(infinite_gradient())
    with pytest.raises(DataError, match="after step 1: these are not finite any more"):
        parts.host(SavesEachStep()).run()
    assert saved == []


def test_a_buffer_that_overflows_while_the_loss_is_finite_is_told_as_well() -> None:
    parts = tiny(num_epochs=1, dataset=spoilt(1e30, 7))
    with pytest.raises(DataError, match=r"not finite any more: .*layers\.1\.running_var"):
        guarded(parts).host().run()


@pytest.mark.parametrize(
    "layout", [torch.sparse_coo, torch.sparse_csr], ids=["coordinates", "rows"]
)
@pytest.mark.filterwarnings("ignore:Sparse:UserWarning")
def test_a_buffer_may_be_sparse(layout: Any) -> None:
    parts = tiny()
    parts.model.register_buffer("adjacency", torch.eye(3).to_sparse(layout=layout))
    guarded(parts, action="skip").host().run()
    assert parts.descent.state_dict()["model"]["adjacency"].layout is layout

    parts.model.adjacency = (torch.eye(3) * NAN).to_sparse(layout=layout)
    with pytest.raises(DataError, match=r"any more: model\.adjacency"):
        parts.descent.state_dict()


@pytest.mark.parametrize("micro_batch_size", [None, 2])
def test_a_batch_without_samples_is_a_loss_that_is_no_number(micro_batch_size: int | None) -> None:
    parts, step = tiny(), ll.Step()
    descent = ll.GradientDescent(
        parts.opt, parts.model, parts.feed, mean_loss, micro_batch_size=micro_batch_size
    )
    step.batch = {name: column[:0] for name, column in columns().items()}
    with pytest.raises(DataError, match="the loss is nan"):
        descent.batch(step)


def test_a_mask_may_hold_infinities() -> None:
    parts = tiny(num_epochs=1)
    parts.model.register_buffer("mask", torch.full((3,), -INF))
    guarded(parts).host().run()
    assert parts.descent.state_dict()["model"]["mask"].isinf().all()


class Masking(Net):
    """Its masks are made when they are first needed, and grow."""

    def __init__(self) -> None:
        super().__init__()
        self.frozen = nn.Parameter(torch.tensor([0.0, -INF]), requires_grad=False)
        self.register_buffer("causal", torch.zeros(0, 0))
        self.register_buffer("prior", torch.zeros(3))

    def forward(self, batch: dict[str, Any]) -> dict[str, torch.Tensor]:
        size = len(self.causal) + 1
        self.causal = torch.full((size, size), -INF).triu(1)
        self.prior.copy_(torch.tensor([0.5, 0.5, 0.0]).log())
        return super().forward(batch)


def masking(dataset: Any = None) -> Tiny:
    parts = tiny(num_epochs=1, dataset=dataset)
    parts.model = Masking()
    parts.feed = ll.Feed(parts.model, "cpu")
    parts.opt = torch.optim.SGD(parts.model.parameters(), lr=0.1)
    return parts


@pytest.mark.parametrize("action", ["stop", "skip", "warn"])
def test_infinities_that_a_module_sets_itself_are_no_fault(action: Any) -> None:
    parts = guarded(masking(), action=action)
    parts.host().run()
    assert parts.descent.state_dict()["model"]["prior"].isinf().any()


def test_a_frozen_parameter_of_infinities_does_not_keep_a_step_from_being_skipped() -> None:
    parts = guarded(masking(spoilt(NAN, 7)), action="skip")
    parts.host().run()
    assert parts.descent.guard.num_nonfinite == 1
    with pytest.raises(DataError, match=r"output is not finite: layers\.0"):
        guarded(masking(spoilt(NAN, 7))).host().run()


def test_warn_saves_a_buffer_that_is_nan_and_says_so_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    parts = guarded(masking(), action="warn")
    parts.model.prior.fill_(NAN)
    with caplog.at_level(logging.WARNING, "legoloop"):
        states = [parts.descent.state_dict() for _ in range(2)]
    assert all(state["model"]["prior"].isnan().all() for state in states)
    told = "after step 0: these are not finite any more: model.prior; they are saved all the same"
    assert [record.getMessage() for record in caplog.records] == [told]
    parts.descent.guard.action = "stop"
    with pytest.raises(DataError, match=r"model\.prior; if these buffers may be so, give action=w"):
        parts.descent.state_dict()


@pytest.mark.parametrize(
    "settings", [{}, {"action": "skip"}, {"action": "warn"}, {"gradients": True}], ids=str
)
@pytest.mark.parametrize("losses", [mean_loss, sample_losses])
def test_a_run_that_is_finite_is_the_same_with_every_guard(settings: Any, losses: Any) -> None:
    assert guarded(tiny(), loss=losses, **settings).trained() == tiny(loss=losses).trained()


class Descent:
    """Its gradients are computed and its loss is what it is told."""

    def __init__(self, loss: torch.Tensor) -> None:
        self.given = loss
        self.model: nn.Module = nn.Linear(1, 1)
        self.buffers: list[Any] = []
        self.calls: list[str] = []

    def feed(self, batch: Any) -> Any:
        return batch, {"y": self.model(batch["x"])}

    def loss(self, batch: Any, outputs: Any) -> torch.Tensor:
        mean: torch.Tensor = outputs["y"].mean()
        return mean

    def compute_gradients(self, step: ll.Step, observe_loss: Any) -> torch.Tensor:
        self.calls.append("gradients")
        step.batch, step.outputs, step.size = {"x": torch.ones(1, 1)}, {}, 1
        step.loss = self.given
        observe_loss(self.given)
        return self.given

    def optimizer_step(self) -> None:
        self.calls.append("optimizer")


@given(st.floats(allow_nan=True, allow_infinity=True, width=32))
def test_lets_a_step_be_taken_for_finite_losses_alone(value: float) -> None:
    descent, step = Descent(torch.tensor(value)), ll.Step()
    ll.NonFiniteGuard("skip").run_step(step, descent)
    is_finite = bool(torch.isfinite(torch.tensor(value)))
    assert descent.calls == (["gradients", "optimizer"] if is_finite else ["gradients"])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_reads_losses_of_every_precision(dtype: torch.dtype) -> None:
    largest = torch.tensor(torch.finfo(dtype).max, dtype=dtype)
    descent, step = Descent(largest), ll.Step()
    ll.NonFiniteGuard().run_step(step, descent)
    assert step.loss_float == largest.item()
    assert descent.calls == ["gradients", "optimizer"]


def test_one_guard_of_two_descents_restores_the_buffers_of_each() -> None:
    first, second = tiny(dataset=spoilt(NAN, 7)), tiny(dataset=spoilt(NAN, 7))
    guard = ll.NonFiniteGuard("skip")
    for parts in (first, second):
        parts.descent = ll.GradientDescent(parts.opt, parts.model, parts.feed, mean_loss, guard)
    step, before = ll.Step(), state(first)
    step.batch, step.size = {key: column * NAN for key, column in columns().items()}, 22
    step.batch["target"] = columns()["target"]
    first.descent.train_start()
    first.descent.batch(step)
    assert step.size == 0
    assert same(state(first).values(), before.values())


def test_another_action_is_refused() -> None:
    with pytest.raises(ArgumentError, match="action is 'halt'; there are stop, skip, warn"):
        ll.NonFiniteGuard("halt")  # type: ignore[arg-type]


READS = ("item", "cpu", "numpy", "tolist", "__float__", "__bool__", "__int__", "is_nonzero")


def test_reads_the_loss_once_in_a_finite_step_and_nothing_else(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    parts = guarded(tiny())
    step, batch = ll.Step(), next(parts.loops["train"])
    step.batch = batch
    parts.descent.batch(step)
    reads: list[str] = []

    def counting(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def read(tensor: torch.Tensor, *given: Any, **named: Any) -> Any:
            if tensor.device.type == "cpu" and tensor.data_ptr() == step.loss.data_ptr():
                reads.append(name)
            return real(tensor, *given, **named)

        return read

    for name in READS:
        monkeypatch.setattr(torch.Tensor, name, counting(name, getattr(torch.Tensor, name)))
    for _ in range(3):
        step.batch = batch
        parts.descent.batch(step)

    assert reads == ["item"] * 3, "the guard's, one a step"
