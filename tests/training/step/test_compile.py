from __future__ import annotations

import shutil
from collections.abc import Iterable
from copy import deepcopy
from typing import Any

import pytest
import torch
from torch import nn

import legoloop as ll
from legoloop.training.step.compile import compile_step
from tests.tiny import columns, mean_loss

needs_a_compiler = pytest.mark.skipif(
    shutil.which("g++") is None, reason="torch compiles with g++, which is not installed"
)


class Plain(nn.Module):
    def __init__(self, depth: int = 1) -> None:
        super().__init__()
        hidden = [layer for _ in range(depth - 1) for layer in (nn.Linear(8, 8), nn.ReLU())]
        self.layers = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), *hidden, nn.Linear(8, 3))

    def forward(self, batch: dict[str, Any]) -> dict[str, torch.Tensor]:
        return {"logits": self.layers(batch["x"])}


class Broken(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.inner, self.outer = nn.Linear(4, width), nn.Linear(width, 3)

    def forward(self, x: torch.Tensor) -> Any:
        inner = self.inner(x)
        torch._dynamo.graph_break()
        return self.outer(inner)


class InTwo(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.part = Broken(width)

    def forward(self, batch: dict[str, Any]) -> dict[str, torch.Tensor]:
        return {"logits": self.part(batch["x"])}


class Normed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        hidden = nn.Linear(4, 64), nn.BatchNorm1d(64), nn.ReLU()
        self.layers = nn.Sequential(*hidden, nn.Linear(64, 3))

    def forward(self, batch: dict[str, Any]) -> dict[str, torch.Tensor]:
        return {"logits": self.layers(batch["x"])}


def weighted() -> ll.WeightedLosses:
    def large(batch: dict[str, Any], outputs: dict[str, Any]) -> torch.Tensor:
        return outputs["logits"].square().mean(1)

    return ll.WeightedLosses({"right": mean_loss, "large": large}, weights={"large": 0.1})


def trained(
    compile: bool | str,
    loss: Any = mean_loss,
    depth: int = 1,
    sizes: Iterable[int] = (22, 22, 7, 22, 5, 1),
) -> tuple[list[float], ll.Step]:
    torch.manual_seed(0)
    model = Plain(depth)
    descent = ll.GradientDescent(
        torch.optim.SGD(model.parameters(), lr=0.1),
        model,
        ll.Feed(model, "cpu"),
        loss,
        compile=compile,
    )
    step, losses = ll.Step(), []
    for samples in sizes:
        step.batch, step.size = {**columns(samples), "idx": ["a"] * samples}, samples
        if isinstance(loss, ll.WeightedLosses):
            loss.batch_start(step)
        descent.batch(step)
        assert step.loss_float is not None
        losses.append(step.loss_float)
        if isinstance(loss, ll.WeightedLosses):
            loss.batch_end(step)
    return losses, step


@needs_a_compiler
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch's own
def test_compiled_it_learns_the_same_up_to_rounding_whatever_the_size_of_a_batch() -> None:
    plain, _ = trained(compile=False)
    fast, step = trained(compile=True)

    assert fast == pytest.approx(plain, rel=1e-4)
    assert step.batch["idx"] == ["a"]
    assert step.outputs["logits"].shape == (1, 3)


@needs_a_compiler
@pytest.mark.long
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch's own
def test_several_losses_are_compiled_and_told_apart() -> None:
    told, compiled = weighted(), weighted()
    plain, _ = trained(compile=False, loss=told)
    fast, _ = trained(compile=True, loss=compiled)

    assert fast == pytest.approx(plain, rel=1e-4)
    assert told.scalars().keys() == {"loss/right", "loss/large"}
    assert compiled.scalars() == pytest.approx(told.scalars(), rel=1e-4)


@needs_a_compiler
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch's own
def test_a_later_model_of_the_process_is_compiled_too() -> None:
    import torch._dynamo.config as limits

    with limits.patch(recompile_limit=3, fail_on_recompile_limit_hit=True):
        for depth in (1, 2, 3):
            trained(compile=True, depth=depth, sizes=(22, 7))


@needs_a_compiler
@pytest.mark.long
@pytest.mark.filterwarnings("ignore")  # torch's own, of several kinds
def test_so_is_one_that_breaks_the_graph() -> None:
    import torch._dynamo.config as limits

    with limits.patch(recompile_limit=2, fail_on_recompile_limit_hit=True):
        for width in (2, 3, 4, 5):
            feed = ll.Feed(InTwo(width), "cpu")
            compile_step(feed, mode=True)(feed, mean_loss, columns(6))


@needs_a_compiler
@pytest.mark.long
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch's own
def test_what_a_batch_gives_does_not_depend_on_those_that_were_compiled_before_it() -> None:
    def after(sizes: Iterable[int], state: dict[str, Any] | None = None) -> dict[str, Any]:
        torch.manual_seed(0)
        model = Normed()
        optimizer = torch.optim.Adam(model.parameters(), lr=0.05)
        descent = ll.GradientDescent(
            optimizer, model, ll.Feed(model, "cpu"), mean_loss, compile=True
        )
        if state is not None:
            descent.load_state_dict(state)
        for samples in sizes:
            step = ll.Step()
            step.batch, step.size = columns(samples), samples
            descent.batch(step)
        return deepcopy(descent.state_dict())

    torch.compiler.reset()
    whole = after((100, 91, 100, 100))
    a_later_job = after((100, 91, 100, 100))
    begun = after((100, 91))
    torch.compiler.reset()
    resumed = after((100, 100), begun)

    for state in (a_later_job, resumed):
        torch.testing.assert_close(state["model"], whole["model"], rtol=0, atol=0)


@needs_a_compiler
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch's own
def test_any_number_of_sizes_takes_a_bounded_number_of_compilations() -> None:
    import torch._dynamo.config as limits

    with limits.patch(recompile_limit=4, fail_on_recompile_limit_hit=True):
        trained(compile=True, sizes=range(2, 12))


def test_a_cpu_without_a_cpp_compiler_is_told_before_anything_is_run() -> None:
    import torch._inductor.config as inductor

    with (
        inductor.patch({"cpp.cxx": ("no-such-compiler",)}),
        pytest.raises(ll.ArgumentError, match=r"needs a C\+\+ compiler on a CPU, and finds none"),
    ):
        trained(compile=True)
    assert inductor.cpp.cxx != ("no-such-compiler",)


def test_a_mode_that_is_none_is_refused() -> None:
    with pytest.raises(ll.ArgumentError, match="compile is 'fast'; give true, false, or one of"):
        trained(compile="fast")


@pytest.mark.parametrize("mode", ["reduce-overhead", "max-autotune"])
def test_gradients_that_are_added_up_cannot_be_overwritten(mode: str) -> None:
    model = Plain()
    with pytest.raises(
        ll.ArgumentError, match="cannot be accumulated over micro-batches; give compile"
    ):
        ll.GradientDescent(
            torch.optim.SGD(model.parameters(), lr=0.1),
            model,
            ll.Feed(model, "cpu"),
            mean_loss,
            compile=mode,
            micro_batch_size=2,
        )


def test_a_feed_of_ones_own_cannot_be_compiled() -> None:
    model = Plain()
    with pytest.raises(ll.ArgumentError, match=r"takes a legoloop\.Feed; the feed is a function"):
        ll.GradientDescent(
            torch.optim.SGD(model.parameters(), lr=0.1),
            model,
            lambda batch: (batch, model(batch)),
            mean_loss,
            compile=True,
        )


class Scaled(Plain):
    def forward(self, batch: dict[str, Any]) -> dict[str, torch.Tensor]:
        logits = self.layers(sum(batch["views"])) * batch.get("opt", {}).get("scale", 1.0)
        return {"logits": logits * batch["times"]}


@needs_a_compiler
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_nested_entries_numbers_and_texts_of_a_batch_reach_the_model() -> None:
    def trained(compile: bool) -> tuple[torch.Tensor, int]:
        torch.manual_seed(0)
        model = Scaled()
        opt = torch.optim.SGD(model.parameters(), lr=0.1)
        feed = ll.Feed(model, "cpu")
        descent = ll.GradientDescent(opt, model, feed, mean_loss, compile=compile)
        torch._dynamo.utils.counters.clear()
        for number in range(3):
            step, given = ll.Step(), columns()
            step.batch = {
                "target": given["target"],
                "views": (given["x"], given["x"] / 2),
                "opt": {"scale": torch.full((22, 1), 3.0), "note": f"of {number}"},
                "names": [f"{number}, {sample}" for sample in range(22)],
                "times": 2,
            }
            descent.batch(step)
        frames: int = torch._dynamo.utils.counters["frames"]["total"]
        return model.layers[0].weight.detach(), frames

    (plain, _), (compiled, frames) = trained(False), trained(True)
    torch.testing.assert_close(compiled, plain)
    assert frames == 1, "what the model does not read compiles nothing anew"
