from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

import legoloop as ll
from tests.tiny import Noisy, Tiny, accuracy, mean_loss, tiny, weights


class Watches:
    """What the weights are after each step, and at the end of each epoch."""

    def __init__(self, parts: Tiny) -> None:
        self.model: Any = parts.model
        self.steps: list[torch.Tensor] = []
        self.at_ends: list[bytes] = []

    def batch_end(self, step: ll.Step) -> None:
        self.steps.append(self.model.layers[4].weight.detach().double().clone())

    def epoch_end(self) -> None:
        self.at_ends.append(weights(self.model))


class Torch:
    """Torch's own average, updated after each step."""

    def __init__(self, parts: Tiny, decay: float) -> None:
        self.model = parts.model
        self.average = AveragedModel(
            parts.model, multi_avg_fn=get_ema_multi_avg_fn(decay), use_buffers=True
        )

    def batch_end(self, step: ll.Step) -> None:
        self.average.update_parameters(self.model)


@pytest.mark.parametrize("decay", [0.0, 0.5, 0.9])
def test_equals_torch_bit_for_bit_in_what_is_averaged(decay: float) -> None:
    parts = tiny()
    ema, torchs = ll.ExponentialMovingAverage(parts.descent, decay), Torch(parts, decay)

    parts.trained(ema, torchs)

    expected = torchs.average.module.state_dict()
    for name, value in ema.model.state_dict().items():
        if value.is_floating_point():
            assert torch.equal(value, expected[name]), name


def test_equals_the_closed_form() -> None:
    parts = tiny()
    ema, watches = ll.ExponentialMovingAverage(parts.descent, decay=0.8), Watches(parts)

    parts.trained(ema, watches)

    last = len(watches.steps) - 1
    expected = 0.8**last * watches.steps[0] + sum(
        0.2 * 0.8 ** (last - number) * watches.steps[number] for number in range(1, last + 1)
    )
    average: Any = ema.model
    torch.testing.assert_close(average.layers[4].weight.double(), expected, rtol=1e-5, atol=1e-6)


def test_does_not_touch_the_training_until_its_end_and_then_takes_its_place() -> None:
    alone, averaged = tiny(dataset=Noisy()), tiny(dataset=Noisy())
    ema = ll.ExponentialMovingAverage(averaged.descent, decay=0.9)
    of_alone, of_averaged = Watches(alone), Watches(averaged)

    bare = alone.trained(of_alone)
    ended_with = averaged.trained(ema, of_averaged, averaged.loaders_acc(feed=ema))

    assert of_averaged.at_ends == of_alone.at_ends
    assert of_alone.at_ends[-1] == bare
    assert ended_with == weights(ema.model) != bare


def test_an_evaluation_that_is_fed_by_it_evaluates_the_average() -> None:
    parts = tiny(num_epochs=1)
    ema = ll.ExponentialMovingAverage(parts.descent, decay=0.9)
    of_average = parts.loops_acc(feed=ema)
    of_weights = parts.loops_acc()
    seen: list[torch.Tensor] = []

    class Looks:
        def __init__(self) -> None:
            self.accs = (of_average, of_weights)

        def epoch_end(self) -> None:
            parts.model.eval()
            ema_logits = ema({"x": batch["x"]})[1]["logits"]
            logits = parts.feed({"x": batch["x"]})[1]["logits"]
            seen.extend([ema_logits, logits])
            seen.extend(torch.tensor(acc.collect("val")["logits"]) for acc in self.accs)
            parts.model.train()

    batch = {key: torch.cat([b[key] for b in parts.loaders["val"]]) for key in ("x", "idx")}
    parts.trained(ema, of_average, of_weights, Looks())

    expected_of_average, expected_of_weights, average, plain = seen
    order = parts.loops["val"].peek(None)
    at = torch.cat([torch.as_tensor(b["idx"]) for b in order])
    torch.testing.assert_close(average, expected_of_average.detach()[at])
    torch.testing.assert_close(plain, expected_of_weights.detach()[at])
    assert not torch.equal(average, plain)


def test_it_hears_a_step_after_the_descent_wherever_it_stands_in_the_list() -> None:
    parts = tiny()
    ema = ll.ExponentialMovingAverage(parts.descent, decay=0.0)
    loops = parts.loops_acc(feed=ema)
    metrics = ll.AccumulatorMetrics(loops, accuracy)
    host = ll.TrainingHost(
        [metrics, loops, ema, parts.last, parts.descent, parts.epoch, parts.counter]
    )
    host.run()
    assert weights(ema.model) == weights(parts.model)


def test_a_step_that_the_guard_skips_is_none() -> None:
    parts = tiny()
    ema, step = ll.ExponentialMovingAverage(parts.descent, decay=0.5), ll.Step()
    step.size = 4
    ema.batch(step)
    with torch.no_grad():
        next(parts.model.parameters()).add_(1)
    before, step.size = weights(ema.model), 0
    ema.batch(step)
    assert weights(ema.model) == before


def test_masks_counts_and_what_is_not_saved_are_those_of_the_model() -> None:
    parts = tiny(num_epochs=1)
    parts.model.register_buffer("mask", torch.full((3,), -torch.inf))
    parts.model.register_buffer("cache", torch.zeros(1), persistent=False)
    parts.descent = ll.GradientDescent(parts.opt, parts.model, parts.feed, mean_loss)
    ema = ll.ExponentialMovingAverage(parts.descent)

    class Grows:
        before = ("ExponentialMovingAverage",)

        def batch(self, step: ll.Step) -> None:
            parts.model.cache = torch.zeros(len(parts.model.cache) + 1)

    parts.trained(ema, Grows())

    state = ema.model.state_dict()
    assert state["mask"].isinf().all()
    assert state["layers.1.num_batches_tracked"] == 6
    assert ema.model.get_buffer("cache").shape == parts.model.cache.shape == (7,)


def test_a_run_without_steps_ends_with_the_weights_it_began_with() -> None:
    parts = tiny(num_epochs=0)
    ema = ll.ExponentialMovingAverage(parts.descent)
    with torch.no_grad():
        next(parts.model.parameters()).add_(1)
    before = weights(parts.model)
    assert parts.trained(ema) == before


@pytest.mark.parametrize("decay", [-0.1, 1.0, float("nan")])
def test_refuses_a_decay_out_of_range(decay: float) -> None:
    with pytest.raises(ll.ArgumentError, match=r"decay is .*; give a number from 0 to below 1"):
        ll.ExponentialMovingAverage(tiny().descent, decay)


def test_refuses_a_feed_that_does_not_hold_the_model() -> None:
    parts = tiny()
    parts.descent.feed = lambda batch: (batch, parts.model(batch))
    with pytest.raises(
        ll.ArgumentError, match="descent has a feed that does not reference its model"
    ):
        ll.ExponentialMovingAverage(parts.descent)


def test_a_sparse_buffer_is_that_of_the_model() -> None:
    parts = tiny()
    parts.model.register_buffer("adjacency", torch.eye(3).to_sparse())
    average = ll.ExponentialMovingAverage(parts.descent)
    parts.model.adjacency = 2 * torch.eye(3).to_sparse()
    parts.host(average).run()
    assert torch.equal(average.model.adjacency.to_dense(), 2 * torch.eye(3))


def test_weights_that_are_normalised_by_vectors_of_the_model_stay_so() -> None:
    """Those of spectral_norm are rotated from step to step: their mean is no unit vector."""
    parts = tiny(num_epochs=3)
    parts.model.layers[4] = spectral_norm(nn.Linear(8, 3))
    parts.opt = torch.optim.SGD(parts.model.parameters(), lr=1.0)
    parts.descent = ll.GradientDescent(parts.opt, parts.model, parts.feed, mean_loss)
    ema = ll.ExponentialMovingAverage(parts.descent, decay=0.9)

    class Copies:
        def batch_end(self, step: ll.Step) -> None:
            self.kept = {name: value.clone() for name, value in parts.model.named_buffers()}

    copies = Copies()
    parts.trained(ema, copies)

    for name, value in ema.model.named_buffers():
        if "running_" not in name:
            assert torch.equal(value, copies.kept[name]), name
    assert not torch.equal(ema.model.layers[1].running_var, copies.kept["layers.1.running_var"])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_coarse_weights_are_averaged_in_float32(dtype: torch.dtype) -> None:
    """Also over a resume: the average of the checkpoint is not rounded."""

    def made() -> tuple[Any, ll.ExponentialMovingAverage]:
        model = nn.Linear(1, 1, bias=False).to(dtype)
        descent = ll.GradientDescent(
            torch.optim.SGD(model.parameters()),
            model,
            ll.Feed(model, "cpu"),
            mean_loss,
        )
        return model, ll.ExponentialMovingAverage(descent, decay=0.999)

    (model, ema), step = made(), ll.Step()
    step.size = 1
    weights = [1 + number / 1000 for number in range(2000)]
    for number, weight in enumerate(weights):
        if number == 1000:
            state = deepcopy(ema.state_dict())
            model, ema = made()
            ema.load_state_dict(state)
        model.weight.data.fill_(weight)
        ema.batch(step)

    rounded = torch.tensor(weights, dtype=dtype).double().tolist()
    expected = rounded[0]
    for weight in rounded[1:]:
        expected = 0.999 * expected + 0.001 * weight
    assert ema.state_dict()["precise"]["weight"].item() == pytest.approx(expected, rel=1e-3)
    assert ema.model.weight.item() == pytest.approx(expected, rel=2**-8)
    assert ema.model.weight.dtype is dtype


def test_a_state_from_before_there_was_a_precise_average_is_loaded() -> None:
    parts = tiny()
    parts.model.bfloat16()
    ema = ll.ExponentialMovingAverage(parts.descent)
    state = {"model": deepcopy(ema.model.state_dict()), "has_steps": True}
    for value in state["model"].values():
        value.fill_(2)
    ema.load_state_dict(state)
    assert {float(value.mean()) for value in ema.state_dict()["precise"].values()} == {2.0}


class Odd(nn.Module):
    """Parameters and buffers that no mean is taken of."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        for dtype in (torch.int64, torch.bool, torch.float8_e4m3fn, torch.float8_e5m2):
            name = str(dtype).removeprefix("torch.")
            frozen = nn.Parameter(torch.ones(2).to(dtype), requires_grad=False)
            self.register_parameter(f"frozen_{name}", frozen)
            self.register_buffer(f"running_{name}", torch.ones(2).to(dtype))
        mask = torch.tensor([0.0, -torch.inf])
        self.mask = nn.Parameter(mask, requires_grad=False)
        self.phase = nn.Parameter(torch.ones(2, dtype=torch.complex64))
        self.register_buffer("wide", torch.ones(1).expand(4))
        self.register_buffer("later", None)
        self.register_buffer("running_scale", torch.zeros(2))

    def forward(self, batch: dict[str, Any]) -> dict[str, torch.Tensor]:
        self.later = torch.ones(3)
        self.wide = (self.wide[:1] + 1).expand(4)
        with torch.no_grad():
            self.frozen_bool.logical_not_()
            self.running_scale += 1
        outputs: dict[str, torch.Tensor] = self.model(batch)
        return outputs


def test_what_has_no_mean_is_copied_and_every_evaluation_and_guard_gets_by() -> None:
    parts = tiny(num_epochs=2)
    parts.model = model = Odd(parts.model)
    parts.feed = ll.Feed(model, "cpu")
    parts.descent = ll.GradientDescent(
        parts.opt, model, parts.feed, mean_loss, guard=ll.NonFiniteGuard("skip")
    )
    ema = ll.ExponentialMovingAverage(parts.descent, decay=0.5)
    metrics = ll.AccumulatorMetrics(parts.loops_acc(feed=ema), accuracy)
    plain = ll.AccumulatorMetrics(parts.loops_acc(), accuracy)
    host = parts.host(ema, metrics, plain, metrics.acc_plugin, plain.acc_plugin)
    host.run()

    average: Any = ema.model
    assert average.mask.tolist() == [0.0, -torch.inf]
    assert average.later.tolist() == [1.0] * 3
    assert average.wide.tolist() == [13.0] * 4
    assert average.frozen_bool.tolist() == [True, True]
    assert average.frozen_float8_e5m2.float().tolist() == [1.0, 1.0]
    assert 9 < average.running_scale[0] < 12
    assert average.phase.tolist() == [1, 1]
