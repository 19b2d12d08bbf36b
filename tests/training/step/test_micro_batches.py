from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.functional import cross_entropy

import legoloop as ll
from legoloop.training.step.micro_batches import join, split_batch
from legoloop.zoo.token_losses import TokenCrossEntropy
from tests.tiny import columns, mean_loss, sample_losses, tiny, weights

TOKENS, CLASSES = 5, 3


def smooth_model() -> nn.Module:
    """A model without dropout and batch norm, which see how a batch is cut."""
    torch.manual_seed(3)
    return nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, CLASSES))


def trained(
    data: dict[str, torch.Tensor],
    loss: Any,
    batch_size: int,
    opt: Any = torch.optim.SGD,
    **settings: Any,
) -> list[torch.Tensor]:
    """The weights after two epochs."""
    model, counter = smooth_model(), ll.Counter()
    loop = ll.BatchStream(
        ll.ColumnDataset(data), "train", 0, ll.LoaderConfig(batch_size=batch_size)
    )
    descent = ll.GradientDescent(
        opt(model.parameters(), lr=0.1),
        model,
        lambda batch: (batch, {"logits": model(batch["x"])}),
        loss,
        **settings,
    )
    ll.TrainingHost([counter, ll.SimpleEpoch(loop), descent, ll.LastEpoch(counter, 2)]).run()
    return list(model.parameters())


def assert_close(left: list[torch.Tensor], right: list[torch.Tensor]) -> None:
    for one, other in zip(left, right, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)


def token_mean(batch: dict[str, Any], outputs: dict[str, Any]) -> torch.Tensor:
    """The mean over the tokens that are not masked."""
    return cross_entropy(
        outputs["logits"].flatten(0, 1), batch["target"].flatten(), ignore_index=-100
    )


def tokens(batch: dict[str, Any]) -> int:
    return int((batch["target"] != -100).sum())


def sequences(samples: int) -> dict[str, torch.Tensor]:
    """Sequences of 0 to 5 tokens; the longest comes first, so that some token is always there."""
    generator = torch.Generator().manual_seed(7)
    x = torch.randn(samples, TOKENS, 4, generator=generator)
    target = x[..., :CLASSES].argmax(dim=2)
    lengths = torch.randint(0, TOKENS + 1, (samples, 1), generator=generator)
    target[torch.arange(TOKENS) >= lengths] = -100
    return {"x": x, "target": target}


@given(samples=st.integers(1, 150), micro=st.sampled_from([1, 7, 16, 64, 100]))
@settings(max_examples=8)
@pytest.mark.parametrize("loss", [mean_loss, sample_losses])
@pytest.mark.parametrize("opt", [torch.optim.SGD, torch.optim.Adagrad])
def test_equals_the_whole_batch_for_any_length(
    loss: Any, opt: Any, samples: int, micro: int
) -> None:
    data = columns(samples)
    whole = trained(data, loss, 64, opt)
    assert_close(trained(data, loss, 64, opt, micro_batch_size=micro), whole)


@pytest.mark.parametrize("samples", [20, 64, 90])
@pytest.mark.parametrize("micro", [1, 16])
def test_a_mean_over_tokens_counts_those(samples: int, micro: int) -> None:
    data = sequences(samples)
    whole = trained(data, token_mean, 64)
    given = {"micro_batch_size": micro}
    assert_close(trained(data, token_mean, 64, **given, batch_desc=tokens), whole)
    by_samples = {"guard": ll.NonFiniteGuard("warn"), **given}
    with pytest.raises(AssertionError):
        assert_close(trained(data, token_mean, 64, **by_samples), whole)


@pytest.mark.parametrize("loss", [mean_loss, sample_losses])
def test_a_batch_that_fits_is_trained_on_bit_for_bit_as_without(loss: Any) -> None:
    parts = tiny(loss=loss)
    parts.descent.micro_batch_size = 4
    assert parts.trained() == tiny(loss=loss).trained()


@pytest.mark.parametrize("losses", [mean_loss, sample_losses])
def test_the_step_holds_the_whole(losses: Any) -> None:
    parts = tiny(batch_size=22, loss=losses)
    parts.descent.micro_batch_size = 5
    step, batch = ll.Step(), next(parts.loops["train"])
    step.batch, step.size = batch, 22

    parts.descent.train_start()
    parts.descent.batch(step)

    assert all(torch.equal(step.batch[key], batch[key]) for key in batch)
    assert ll.DefaultBatchDesc()(step.batch) == 22
    assert step.outputs["logits"].shape == (22, 3)
    assert not step.outputs["logits"].requires_grad
    assert not step.loss.requires_grad
    torch.testing.assert_close(step.loss, mean_loss(step.batch, step.outputs))


def test_a_step_is_a_step_of_the_optimizer() -> None:
    parts = tiny(num_epochs=2, batch_size=8)
    parts.descent.micro_batch_size = 3
    stepped: list[Any] = []
    parts.opt.register_step_post_hook(lambda *given: stepped.append(given))
    halving = torch.optim.lr_scheduler.ExponentialLR(parts.opt, gamma=0.5)
    parts.trained(ll.LRScheduler(halving, parts.counter, interval="step"))

    assert len(stepped) == parts.counter.steps == 6
    assert parts.opt.param_groups[0]["lr"] == pytest.approx(0.01 * 0.5**5)


class Asked(ll.NonFiniteGuard):
    """Notes what the optimizer has done when it is asked."""

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        self.answers: list[bool] = []

    def _allow_step(self, step: ll.Step, losses: torch.Tensor, descent: Any) -> bool:
        self.answers.append(super()._allow_step(step, losses, descent))
        return self.answers[-1]


def spoilt(*samples: int) -> ll.ColumnDataset:
    data = columns()
    data["x"][list(samples)] = torch.nan
    return ll.ColumnDataset(data)


@pytest.mark.parametrize("sample", range(0, 22, 3))
def test_the_guard_is_asked_once_a_step_and_skips_the_whole(sample: int) -> None:
    parts = tiny(num_epochs=1, batch_size=11, dataset=spoilt(sample))
    guard = Asked(action="skip", counter=parts.counter)
    parts.descent = ll.GradientDescent(
        parts.opt, parts.model, parts.feed, mean_loss, guard, micro_batch_size=4
    )
    before: list[bytes] = []
    sizes: list[int] = []

    class Looks:
        def batch_start(self, step: ll.Step) -> None:
            before.append(weights(parts.model))

        def batch_end(self, step: ll.Step) -> None:
            sizes.append(step.size)

    parts.host(Looks()).run()

    before.append(weights(parts.model))
    assert sorted(guard.answers) == [False, True]
    assert [one != other for one, other in pairwise(before)] == guard.answers
    assert sizes == [11 * answer for answer in guard.answers]


def test_the_guard_names_the_samples_of_the_whole_batch() -> None:
    parts = tiny(batch_size=22, dataset=spoilt(7), loss=sample_losses)
    parts.descent.micro_batch_size = 4
    with pytest.raises(
        ll.DataError, match=r"samples idx [\d, ]*\b7\b[\d, ]* \(of 22\); not finite"
    ):
        parts.host().run()


def test_what_has_no_entry_a_sample_stays_whole() -> None:
    batch = {
        "idx": ["a", "b", "c"],
        "x": torch.arange(6).reshape(3, 2),
        "array": np.arange(3),
        "inner": {"y": torch.arange(3), "scale": 2.0},
        "weights": torch.ones(4),
        "of_all": torch.tensor(1.0),
        "text": "abc",
    }

    parts = split_batch(batch, 2)

    assert [part["idx"] for part in parts] == [["a", "b"], ["c"]]
    assert [part["inner"]["y"].tolist() for part in parts] == [[0, 1], [2]]
    assert [part["array"].tolist() for part in parts] == [[0, 1], [2]]
    for key in ("weights", "of_all", "text"):
        assert all(part[key] is batch[key] for part in parts)
    again = join(parts, [2, 1])
    assert again["idx"] == batch["idx"]
    assert torch.equal(again["x"], batch["x"])
    assert again["array"].tolist() == [0, 1, 2]
    assert again["inner"]["y"].tolist() == [0, 1, 2]
    assert again["weights"] is batch["weights"]


def test_refuses_no_samples_at_once() -> None:
    parts = tiny()
    with pytest.raises(ll.ArgumentError, match="micro_batch_size is 0; give a whole number"):
        ll.GradientDescent(parts.opt, parts.model, parts.feed, mean_loss, micro_batch_size=0)


@given(
    samples=st.integers(2, 150),
    batch_size=st.sampled_from([16, 64]),
    micro=st.sampled_from([1, 3, 4, 16]),
    opt=st.sampled_from([torch.optim.SGD, torch.optim.Adagrad]),
)
@settings(max_examples=8, deadline=None)
def test_parts_of_padded_sequences_equal_the_whole_batch_for_any_length(
    samples: int, batch_size: int, micro: int, opt: Any
) -> None:
    """The bricks that ship: a mask of their own, a mean over its tokens, and a count of them."""
    data = sequences(samples)
    data["mask"] = data["target"] != -100
    data["mask"][:, 0] = True  # a batch without any token has no mean
    data["target"].clamp_(min=0)
    loss, given = TokenCrossEntropy(), {"batch_desc": ll.TokenBatchDesc()}
    whole = trained(data, loss, batch_size, opt)
    assert_close(trained(data, loss, batch_size, opt, micro_batch_size=micro, **given), whole)


@given(samples=st.integers(1, 150), micro=st.sampled_from([1, 7, 16]))
@settings(max_examples=6, deadline=None)
def test_parts_of_several_losses_equal_the_whole_batch_for_any_length(
    samples: int, micro: int
) -> None:
    data = columns(samples)
    losses = ll.WeightedLosses({"mean": mean_loss, "each": sample_losses}, {"each": 0.5})
    assert_close(trained(data, losses, 64, micro_batch_size=micro), trained(data, losses, 64))
