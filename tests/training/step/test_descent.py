from __future__ import annotations

from typing import Any

import pytest
import torch

import legoloop as ll
from tests.tiny import mean_loss, sample_losses, tiny, weights


def hand_written(steps: int, per_sample: bool) -> bytes:
    """The loop that GradientDescent stands for."""
    parts = tiny(num_epochs=0)
    stream, model, opt = parts.loops["train"], parts.model, parts.opt
    losses = sample_losses if per_sample else mean_loss
    torch.manual_seed(0)
    model.train()
    for _ in range(steps):
        batch = next(stream)
        outputs = model(batch)
        loss = losses(batch, outputs)
        loss = loss.mean() if per_sample else loss
        opt.zero_grad()
        loss.backward()
        opt.step()
    return weights(model)


@pytest.mark.parametrize("per_sample", [False, True])
def test_equals_a_hand_written_loop_bit_for_bit(per_sample: bool) -> None:
    parts = tiny(num_epochs=3, loss=sample_losses if per_sample else mean_loss)

    trained = parts.trained()

    assert parts.counter.steps == 18
    assert trained == hand_written(steps=18, per_sample=per_sample)


def test_takes_the_mean_of_one_loss_per_sample() -> None:
    parts = tiny(loss=sample_losses)
    step = ll.Step()
    step.batch = next(parts.loops["train"])

    parts.descent.batch(step)

    assert step.loss.ndim == 0
    expected = sample_losses(step.batch, step.outputs).mean().detach()
    assert torch.equal(step.loss, expected)


def test_the_loss_of_a_step_holds_no_graph() -> None:
    parts = tiny()
    step = ll.Step()
    step.batch = next(parts.loops["train"])

    parts.descent.batch(step)

    assert not step.loss.requires_grad
    assert step.loss.grad_fn is None


def test_the_model_trains_from_train_start_on() -> None:
    parts = tiny(num_epochs=1)
    parts.model.eval()

    parts.host().run()

    assert all(module.training for module in parts.model.modules())


def test_its_state_is_that_of_model_and_optimizer() -> None:
    first, second = tiny(), tiny(seed=1)
    first.trained()

    second.descent.load_state_dict(first.descent.state_dict())

    assert weights(second.model) == weights(first.model)
    moments = [second.opt.state_dict()["state"][0], first.opt.state_dict()["state"][0]]
    assert torch.equal(moments[0]["exp_avg"], moments[1]["exp_avg"])


def test_another_loss_that_is_set_later_is_the_one_that_is_taken() -> None:
    parts = tiny()
    step = ll.Step()
    step.batch = next(parts.loops["train"])
    parts.descent.loss = lambda batch, outputs: mean_loss(batch, outputs) * 0 + 7
    parts.descent.batch(step)
    assert step.loss_float == 7


@pytest.mark.parametrize("loss", [lambda batch, outputs: {"a": 1.0}, lambda batch, outputs: 1.0])
def test_a_loss_that_is_no_tensor_is_told(loss: Any) -> None:
    parts, step = tiny(loss=loss), ll.Step()
    step.batch = next(parts.loops["train"])
    with pytest.raises(ll.DataError, match=r"the loss is of type (dict|float); give a tensor"):
        parts.descent.batch(step)


def test_an_optimizer_that_takes_the_loss_several_times_a_step_is_refused() -> None:
    parts = tiny()
    opt = torch.optim.LBFGS(parts.model.parameters())
    with pytest.raises(ll.ArgumentError, match="opt is of class LBFGS, which evaluates the"):
        ll.GradientDescent(opt, parts.model, parts.feed, mean_loss)


@pytest.mark.parametrize(
    "layer",
    [torch.nn.LazyLinear(2), torch.nn.LazyBatchNorm1d(affine=False)],
    ids=["weights", "mean"],
)
def test_a_model_that_is_not_all_there_yet_is_refused(layer: torch.nn.Module) -> None:
    parts = tiny()
    model = torch.nn.Sequential(torch.nn.Flatten(), layer)
    with pytest.raises(ll.ArgumentError, match=r"weights of '1', a Lazy.*, are made when"):
        ll.GradientDescent(parts.opt, model, ll.Feed(model, "cpu"), mean_loss)


@pytest.mark.parametrize("micro_batch_size", [None, 2])
def test_tells_the_end_of_each_phase_and_trains_the_same(micro_batch_size: int | None) -> None:
    def trained(phases: list[str] | None) -> bytes:
        parts = tiny(num_epochs=1)
        parts.descent = ll.GradientDescent(
            parts.opt, parts.model, parts.feed, mean_loss, micro_batch_size=micro_batch_size
        )
        if phases is not None:
            parts.descent.on_phase = phases.append
        return parts.trained()

    phases: list[str] = []
    assert trained(phases) == trained(None)
    passes = 1 if micro_batch_size is None else 2
    assert phases[: 2 * passes + 1] == ["forward", "backward"] * passes + ["optimizer"]
    assert phases.count("optimizer") == 6
