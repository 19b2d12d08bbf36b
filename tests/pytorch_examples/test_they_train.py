"""The examples of docs/coming_from.md train what loops by hand train, and survive a kill."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, mse_loss

import legoloop as ll
from legoloop.zoo.toy_data import digits
from tests.app.killed import assert_a_killed_run_leaves_the_same
from tests.pytorch_examples.page import write_project

Batches = Iterator[dict[str, Any]]
PLAIN = ("device=cpu", "loggers=[csv]", "channels_last=false")
REPORTS = "+plugins.train_loss._target_=legoloop.TrainLoss"
SHORT = ("num_epochs=2", "plugins.epoch.epoch_size=4")
ON_DIGITS = ("data=digits", "data.loaders.default.batch_size=64", "epoch_size=192")


pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    folder = tmp_path / "project"
    folder.mkdir()
    write_project(folder)
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(folder)
    yield folder
    for name in [file.stem for file in folder.glob("*.py")]:
        sys.modules.pop(name, None)


def brick(path: str) -> Any:
    module, _, name = path.rpartition(".")
    return getattr(__import__(module), name)


def batches(dataset: Any, size: int, **given: Any) -> Batches:
    return ll.BatchStream(dataset, "train", 0, ll.LoaderConfig(batch_size=size, **given))


def by_hand(
    model: Callable[[], nn.Module],
    optimizer: Callable[[Any], torch.optim.Optimizer],
    stream: Batches,
    loss: Callable[[Any, Any], torch.Tensor],
    epochs: list[int],
    after_epoch: Callable[..., None] = lambda *_: None,
    before_step: Callable[[nn.Module], None] = lambda _: None,
) -> nn.Module:
    """The loop that the examples of PyTorch have, of so many steps in each epoch."""
    ll.seed(0)
    net = model()
    opt = optimizer(net.parameters())
    ll.seed(0)
    for epoch, steps in enumerate(epochs):
        net.train()
        for batch in islice(stream, steps):
            opt.zero_grad()
            loss(batch, net(batch)).backward()
            before_step(net)
            opt.step()
        after_epoch(epoch, net, opt)
    return net


def assert_same(run: Path, model: nn.Module) -> None:
    written, own = torch.load(run / "weights"), model.state_dict()
    assert written.keys() == own.keys()
    for name, value in own.items():
        assert torch.equal(written[name], value), name


def adadelta(lr: float) -> Callable[[Any], torch.optim.Optimizer]:
    return lambda params: torch.optim.Adadelta(params, lr=lr)


def adam(lr: float) -> Callable[[Any], torch.optim.Optimizer]:
    return lambda params: torch.optim.Adam(params, lr=lr, fused=True)


def falling(epoch: int, net: nn.Module, opt: torch.optim.Optimizer) -> None:
    """As StepLR(step_size=1, gamma=0.7)."""
    for group in opt.param_groups:
        group["lr"] *= 0.7


def classes(batch: Any, outputs: Any) -> torch.Tensor:
    return cross_entropy(outputs["logits"], batch["target"].long())


def check(tmp_path: Path, experiment: str, model: nn.Module, *overrides: str, kill: int) -> None:
    """The same weights as by hand, and the same of a run that was killed after so many steps."""
    given = (f"experiment={experiment}", *PLAIN, *overrides)
    assert_a_killed_run_leaves_the_same(tmp_path, kill, *given, config_dir=Path("conf"))
    assert_same(tmp_path / "whole", model)


MNISTS = [("mnist_cnn", "Net", 1.0), ("mnist_rnn", "RNN", 0.1)]


@pytest.mark.parametrize(("name", "net", "lr"), MNISTS)
def test_mnist(tmp_path: Path, name: str, net: str, lr: float) -> None:
    stream = batches(digits(train=True), 64)
    model = by_hand(brick(f"given.{net}"), adadelta(lr), stream, classes, [3, 3], falling)
    check(tmp_path, name, model, *ON_DIGITS, "scheduler=step", "num_epochs=2", kill=4)


def test_vae(tmp_path: Path) -> None:
    loss = brick("vae.negative_elbo")

    def mean(batch: Any, outputs: Any) -> torch.Tensor:
        found: torch.Tensor = loss(batch, outputs).mean()
        return found

    model = by_hand(brick("given.VAE"), adam(0.001), batches(digits(train=True), 64), mean, [3, 3])
    check(tmp_path, "vae", model, *ON_DIGITS, "scheduler=none", "num_epochs=2", kill=4)
    assert (tmp_path / "whole" / "samples.png").exists()


def test_siamese(tmp_path: Path) -> None:
    def loss(batch: Any, outputs: Any) -> torch.Tensor:
        return binary_cross_entropy_with_logits(outputs["logits"], batch["target"])

    stream = batches(brick("given.Pairs")(), 16)
    model = by_hand(brick("given.Siamese"), adadelta(1.0), stream, loss, [4, 4], falling)
    check(tmp_path, "siamese", model, "num_epochs=2", kill=5)


def test_super_resolution(tmp_path: Path) -> None:
    def loss(batch: Any, outputs: Any) -> torch.Tensor:
        return mse_loss(outputs["prediction"], batch["target"])

    stream = batches(brick("given.SmallAndLarge")(), 16)
    model = by_hand(lambda: brick("given.Enlarge")(2), adam(0.01), stream, loss, [3, 3])
    check(tmp_path, "super_resolution", model, kill=4)
    assert "final/val/psnr" in (tmp_path / "whole" / "metrics.csv").read_text()


def test_regression(tmp_path: Path) -> None:
    loss, stream = brick("regression.smooth_l1"), brick("given.Batches")()
    ll.seed(0)
    model: nn.Module = brick("given.Polynomial")()
    ll.seed(0)
    steps, is_good = 0, False
    while not is_good:
        batch, steps = next(stream), steps + 1
        value = loss(batch, model(batch))
        is_good = value.item() < 1e-3
        model.zero_grad()
        value.backward()
        for weight in model.parameters():
            weight.data.add_(-0.1 * weight.grad)
    given = (*PLAIN[:2], "experiment=regression", REPORTS)
    whole = assert_a_killed_run_leaves_the_same(tmp_path, 7, *given, config_dir=Path("conf"))
    assert whole.counter().steps == steps
    written = torch.load(tmp_path / "whole" / "weights")
    for name, value in model.state_dict().items():
        assert torch.allclose(written[name], value, atol=1e-6), name


def test_a_transformer(tmp_path: Path) -> None:
    loss = brick("transformer.next_letters")
    best: dict[str, Any] = {"loss": float("inf")}
    val = ll.Loader(brick("given.Windows")(train=False), "val", 0, ll.LoaderConfig(batch_size=16))

    def anneal(epoch: int, net: nn.Module, opt: torch.optim.Optimizer) -> None:
        net.eval()
        with torch.no_grad():
            ((size, value),) = [(len(batch["idx"]), loss(batch, net(batch))) for batch in val]
        assert size == 6
        if value.item() < best["loss"]:
            weights = {name: value.clone() for name, value in net.state_dict().items()}
            best.update(loss=value.item(), weights=weights)
        elif epoch < 5:
            opt.param_groups[0]["lr"] *= 0.25
        if epoch == 5:
            net.load_state_dict(best["weights"])

    def clip(net: nn.Module) -> None:
        torch.nn.utils.clip_grad_norm_(net.parameters(), 0.25)

    def sgd(params: Any) -> torch.optim.Optimizer:
        return torch.optim.SGD(params, lr=20.0, momentum=0.0, fused=True)

    stream = batches(brick("given.Windows")(), 16)
    model = by_hand(brick("given.Transformer"), sgd, stream, loss, [2] * 6, anneal, clip)
    check(tmp_path, "transformer", model, "num_epochs=6", kill=5)


def test_forward_forward(tmp_path: Path) -> None:
    loss = brick("forward_forward.goodness")

    def next_layer(epoch: int, net: Any, opt: torch.optim.Optimizer) -> None:
        net.turn = 1

    stream = batches(brick("given.Overlaid")(), 64, shuffle=False)
    make = brick("given.ForwardForward")
    model = by_hand(make, adam(0.03), stream, loss, [5, 5], next_layer)
    check(tmp_path, "forward_forward", model, "epoch_size=320", kill=7)


def test_actor_critic(tmp_path: Path) -> None:
    play, loss = brick("actor_critic.Play"), brick("actor_critic.both_losses")
    ll.seed(0)
    model: nn.Module = brick("given.ActorCritic")()
    optimizer = adam(0.03)(model.parameters())
    ll.seed(0)
    for _ in range(8):
        optimizer.zero_grad()
        loss(*play(model, "cpu")({})).backward()
        optimizer.step()
    given = (*PLAIN[:2], "experiment=actor_critic", REPORTS, *SHORT)
    assert_a_killed_run_leaves_the_same(tmp_path, 5, *given, config_dir=Path("conf"))
    assert_same(tmp_path / "whole", model)
