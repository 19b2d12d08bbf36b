"""What plugins hold and have a state of is in the state of the host, once."""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import nn

import legoloop as ll
from legoloop.core.errors import PluginError
from legoloop.loop.held_objects import held_objects
from tests.tiny import Tiny, mean_loss, tiny, weights


class Counts:
    """Has a state that is no tensor."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, *given: Any) -> Any:
        self.calls += 1
        return given[-1]

    def state_dict(self) -> dict[str, Any]:
        return dict(vars(self))

    def load_state_dict(self, state: dict[str, Any]) -> None:
        vars(self).update(state)


class Centred(nn.Module):
    """A loss with a running centre, and a queue that torch does not save."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("centre", torch.zeros(3))
        self.queue = Counts()

    def forward(self, batch: dict[str, Any], outputs: dict[str, Any]) -> torch.Tensor:
        self.queue(0)
        self.centre.lerp_(outputs["logits"].detach().mean(0), 0.5)
        return mean_loss(batch, {"logits": outputs["logits"] + self.centre * self.queue.calls})


class Stamps:
    """A transform with a state: each batch is shifted by more."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        self.inner(batch)
        return {**batch, "x": batch["x"] + 0.1 * self.inner.calls}


class Tightens(Counts):
    """A clip with a state."""

    def __call__(self, parameters: list[torch.Tensor]) -> None:
        self.calls += 1
        torch.nn.utils.clip_grad_norm_(parameters, 1 / self.calls)


def with_descent(parts: Tiny, **given: Any) -> None:
    loss = given.pop("loss", mean_loss)
    parts.descent = ll.GradientDescent(parts.opt, parts.model, parts.feed, loss, **given)


def a_loss(parts: Tiny) -> list[object]:
    with_descent(parts, loss=Centred())
    return []


def a_loss_in_a_partial(parts: Tiny) -> list[object]:
    def applied(centred: Any, batch: Any, outputs: Any) -> torch.Tensor:
        return centred(batch, outputs)

    with_descent(parts, loss=partial(applied, Centred()))
    return []


def a_loss_in_a_closure(parts: Tiny) -> list[object]:
    centred = Centred()
    with_descent(parts, loss=lambda batch, outputs: centred(batch, outputs))
    return []


def a_method_of_a_loss(parts: Tiny) -> list[object]:
    with_descent(parts, loss=Centred().forward)
    return []


def one_of_several_losses(parts: Tiny) -> list[object]:
    losses = ll.WeightedLosses({"plain": mean_loss, "centred": Centred()})
    with_descent(parts, loss=losses)
    return [losses]


def several_losses_that_are_no_plugin(parts: Tiny) -> list[object]:
    with_descent(parts, loss=ll.WeightedLosses({"plain": mean_loss, "centred": Centred()}))
    return []


def a_clip(parts: Tiny) -> list[object]:
    with_descent(parts, clip=Tightens())
    return []


def a_transform(parts: Tiny) -> list[object]:
    return [ll.BatchTransform(Stamps(Counts()))]


def a_feed(parts: Tiny) -> list[object]:
    model, noise = parts.model, Counts()
    plain = parts.feed

    def feed(batch: dict[str, Any]) -> Any:
        batch, outputs = plain(batch)
        return batch, {"logits": outputs["logits"] * (1 + 0.01 * noise(1) * noise.calls)}

    parts.descent = ll.GradientDescent(parts.opt, model, feed, mean_loss)
    return []


def a_turn(parts: Tiny) -> list[object]:
    with_descent(parts, loss=Centred(), clip=Tightens())
    parts.descent = ll.AlternatingDescent(parts.descent, "loss/it", every=2)  # type: ignore
    return []


MADE: list[Callable[[Tiny], list[object]]] = [
    a_loss,
    a_loss_in_a_partial,
    a_loss_in_a_closure,
    a_method_of_a_loss,
    one_of_several_losses,
    several_losses_that_are_no_plugin,
    a_clip,
    a_transform,
    a_feed,
    a_turn,
]


class Saves:
    def __init__(self, at: int) -> None:
        self.at, self.steps = at, 0
        self.state: dict[str, Any] = {}

    def batch_end(self, step: ll.Step) -> ll.ShouldSave | None:
        self.steps += 1
        return ll.ShouldSave(self.keep) if self.steps == self.at else None

    def keep(self, state: dict[str, Any]) -> None:
        self.state = copy.deepcopy(state)


def made(make: Callable[[Tiny], list[object]]) -> tuple[Tiny, ll.TrainingHost, Saves]:
    parts, saves = tiny(), Saves(at=7)
    others = make(parts)
    return parts, parts.host(saves, *others), saves


@pytest.mark.parametrize("make", MADE)
def test_a_run_that_goes_on_ends_with_the_bits_of_the_whole(make: Any) -> None:
    whole, host, saves = made(make)
    host.run()
    rest, resumed, _ = made(make)
    resumed.load_state_dict(saves.state)
    resumed.run()
    assert weights(rest.model) == weights(whole.model)
    assert weights(whole.model) != tiny().trained()


def test_each_object_is_saved_once_whoever_holds_it() -> None:
    class Holds:
        def __init__(self, *held: Any) -> None:
            self.held = held

        def train_start(self) -> None: ...

    class Asks(Holds):
        def state_dict(self) -> dict[str, Any]:
            return {"of": self.held[0].state_dict()}

        def load_state_dict(self, state: dict[str, Any]) -> None:
            self.held[0].load_state_dict(state["of"])

    parts, shared, own = tiny(), Counts(), Counts()
    others = {"a": Holds(shared, parts.model, parts.opt), "b": Asks(own), "c": Holds(shared, own)}
    plugins = {
        "counter": parts.counter,
        "epoch": parts.epoch,
        "descent": parts.descent,
        "last": parts.last,
        **others,
    }
    host = ll.TrainingHost(plugins)
    saved = {path: state for path, state in host.state_dict()["held"].items() if state is not None}
    assert saved == {"a.held.0": {"calls": 0}}
    assert "state_dict" not in vars(shared) | vars(own) | vars(parts.model)


def test_a_loss_that_holds_the_model_does_not_save_it_again() -> None:
    class Decay(nn.Module):
        def __init__(self, model: nn.Module) -> None:
            super().__init__()
            self.model = model

        def forward(self, batch: Any, outputs: Any) -> torch.Tensor:
            return mean_loss(batch, outputs)

    parts = tiny()
    with_descent(parts, loss=Decay(parts.model))
    assert not any(parts.host().state_dict()["held"].values())


def test_what_ships_saves_itself() -> None:
    """So that a state is no larger than it was, and each plugin decides what it loads."""
    parts = tiny()
    halving = torch.optim.lr_scheduler.SequentialLR(
        parts.opt,
        [torch.optim.lr_scheduler.ExponentialLR(parts.opt, 0.5) for _ in range(2)],
        milestones=[1],
    )
    parts.descent = ll.GradientDescent(
        parts.opt, parts.model, parts.feed, mean_loss, scaler=ll.grad_scaler(torch.device("cpu"))
    )
    ema = ll.ExponentialMovingAverage(parts.descent)
    clip = ll.GradientClipping(max_norm=1.0)
    acc = parts.loaders_acc(feed=ema)
    host = parts.host(
        ema, clip, acc, ll.LRScheduler(halving, parts.counter), ll.AccumulatorMetrics(acc, dict)
    )
    held = host.state_dict()["held"]
    assert not any(held.values())
    assert {"GradientDescent.model", "GradientDescent.opt"} <= held.keys()


def test_a_part_on_one_side_alone_is_refused_or_told(caplog: pytest.LogCaptureFixture) -> None:
    _, plain, _ = made(lambda parts: [ll.BatchTransform(lambda batch: batch)])
    _, stateful, _ = made(lambda parts: [ll.BatchTransform(Stamps(Counts()))])
    new = r"BatchTransform\.transform\.inner \(a Counts\) has a state, but none is saved"
    gone = r"the saved state has one of BatchTransform\.transform\.inner, which is not here"
    for host, other, message in ((stateful, plain, new), (plain, stateful, gone)):
        with pytest.raises(PluginError, match=message):
            host.load_state_dict(other.state_dict())
        with caplog.at_level(logging.WARNING, "legoloop"):
            host.load_state_dict(other.state_dict(), strict=False)
        assert "start afresh, or are dropped" in caplog.text


class Holds:
    """Comes before the plugin that holds something, by its name, and holds it too."""

    def __init__(self, held: object, name: str) -> None:
        setattr(self, name, held)

    def scalars(self) -> dict[str, float]:
        return {}


@pytest.mark.parametrize("name", ["loss", "criterion"])
@pytest.mark.parametrize("was_there", [False, True])
def test_a_part_that_another_plugin_holds_too_keeps_its_state(
    name: str, was_there: bool, caplog: pytest.LogCaptureFixture
) -> None:
    def host_of(has_other: bool) -> tuple[Centred, ll.TrainingHost]:
        parts, loss = tiny(), Centred()
        with_descent(parts, loss=loss)
        named = {"counter": parts.counter, "descent": parts.descent, "epoch": parts.epoch}
        others = {"a": Holds(loss, name)} if has_other else {}
        return loss, ll.TrainingHost({**named, "last": parts.last, **others}, seed=0)

    trained, first = host_of(was_there)
    first.run()
    loss, again = host_of(not was_there)
    again.load_state_dict(copy.deepcopy(first.state_dict()), strict=False)
    assert torch.equal(loss.centre, trained.centre)
    assert loss.queue.calls == trained.queue.calls > 0
    assert "has a state, but none is saved" not in caplog.text


def test_a_state_from_before_parts_were_saved_is_loaded() -> None:
    _, host, _ = made(a_transform)
    state = host.state_dict()
    del state["held"]
    host.load_state_dict(state)


class Whole:
    """Saves the state of what it holds itself."""

    def __init__(self, half: Any) -> None:
        self.half = half

    def batch_end(self, step: ll.Step) -> None: ...

    def state_dict(self) -> dict[str, Any]:
        return dict(self.half.state_dict())

    def load_state_dict(self, state: dict[str, Any]) -> None:
        vars(self.half).update(state)


def test_a_state_that_cannot_be_loaded_is_refused_where_a_run_saves() -> None:
    class Saved:
        def __init__(self) -> None:
            self.calls = 0

        def state_dict(self) -> dict[str, int]:
            return dict(vars(self))

    class Saves:
        def train_start(self) -> ll.ShouldSave:
            return ll.ShouldSave(lambda state: None)

    parts = tiny()
    parts.host(ll.BatchTransform(partial(lambda held, batch: batch, Saved()))).run()
    lost = parts.host(ll.BatchTransform(partial(lambda held, batch: batch, Saved())), Saves())
    with pytest.raises(
        PluginError, match=r"a Saved, has state_dict but no load_state_dict, .*; define both"
    ):
        lost.run()
    parts.host(Whole(Saved()), Saves()).run()


def test_the_walk_ends() -> None:
    class Ring:
        def __init__(self) -> None:
            self.me, self.data = self, list(range(10**6))
            self.objects = [object() for _ in range(10**4)]

    assert held_objects({"ring": Ring()}) == {}


def test_two_objects_at_one_path_are_told_apart() -> None:
    def loss(batch: Any, outputs: Any, *, critic: Any = Counts()) -> Any: ...  # noqa: B008

    class Holds:
        loss = None

    holder = Holds()
    holder.loss = partial(loss, critic=Counts())  # type: ignore[assignment]
    assert list(held_objects({"descent": holder})) == [
        "descent.loss.critic",
        "descent.loss.critic#2",
    ]


class Scaled(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, batch: dict[str, Any], outputs: dict[str, Any]) -> torch.Tensor:
        return self.scale * mean_loss(batch, outputs)


@pytest.mark.parametrize(
    "wrapped",
    [lambda loss: loss, lambda loss: loss.forward, lambda loss: ll.WeightedLosses({"it": loss})],
    ids=["itself", "its method", "one of several"],
)
def test_a_parameter_of_a_loss_that_no_optimizer_has_is_refused(wrapped: Any) -> None:
    parts, loss = tiny(), Scaled()
    with_descent(parts, loss=wrapped(loss))
    with pytest.raises(
        PluginError, match=r"has parameters that no optimizer has: .*scale; give th"
    ):
        parts.host()

    loss.requires_grad_(False)
    parts.host()

    loss.requires_grad_(True)
    parts.opt.add_param_group({"params": [loss.scale]})
    parts.host().run()
    assert loss.scale != 1


def test_the_other_network_of_a_loss_is_no_parameter_of_it() -> None:
    """A generator's loss holds the discriminator, which another optimizer or nobody trains."""

    class Judged(Scaled):
        def __init__(self, judge: nn.Module) -> None:
            super().__init__()
            self.judge, self.scale = judge, nn.Parameter(torch.ones(()), requires_grad=False)

    parts, other = tiny(), tiny()
    parts.opt = torch.optim.SGD(parts.model.layers[4].parameters(), lr=0.1)
    with_descent(parts, loss=Judged(parts.model))
    parts.host()
    with_descent(parts, loss=Judged(other.model))
    turns = [
        ll.AlternatingDescent(parts.descent, "loss/generator"),
        ll.AlternatingDescent(other.descent, "loss/judge"),
    ]
    ll.TrainingHost([parts.counter, parts.epoch, parts.last, *turns])
