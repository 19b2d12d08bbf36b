"""What a step costs, counted: what asks the device, and what asks the container."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
from dependency_injector import providers
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

import legoloop as ll
from tests.tiny import accuracy, tiny

ASKING = {
    *("item", "cpu", "numpy", "tolist", "__float__", "__int__", "__bool__", "__array__"),
    "aten._local_scalar_dense.default",
}


class Functions(TorchFunctionMode):
    """Counts calls of tensors' methods."""

    def __init__(self, counts: Counter[str]) -> None:
        super().__init__()
        self.counts = counts

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.counts[getattr(func, "__name__", "")] += 1
        return func(*args, **(kwargs or {}))


class Operations(TorchDispatchMode):
    """Counts what reaches the device."""

    def __init__(self, counts: Counter[str]) -> None:
        super().__init__()
        self.counts = counts

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.counts[str(func)] += 1
        return func(*args, **(kwargs or {}))


@contextmanager
def counting() -> Iterator[Counter[str]]:
    counts: Counter[str] = Counter()
    with Functions(counts), Operations(counts):
        yield counts


class Watching:
    """Counts from the first batch of an epoch to its last."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.steps = 0

    def epoch_start(self) -> None:
        self.counter = counting()
        self.now = self.counter.__enter__()

    def batch_end(self, step: ll.Step) -> None:
        self.steps += 1

    def epoch(self) -> None:
        self.counter.__exit__(None, None, None)
        self.counts += self.now


def asked(counts: Counter[str]) -> dict[str, int]:
    return {name: number for name, number in counts.items() if name in ASKING}


def test_what_asks_a_tensor_is_seen() -> None:
    tensor = torch.tensor(0.5)
    with counting() as counts:
        _ = tensor.item(), float(tensor), tensor.numpy(), tensor.cpu(), bool(tensor)
    assert {"item", "__float__", "numpy", "cpu", "__bool__"} <= asked(counts).keys()
    assert counts["aten._local_scalar_dense.default"] >= 3


def test_a_step_reads_the_loss_on_the_host_once_and_nothing_else(tmp_path: Path) -> None:
    parts = tiny(num_epochs=2)
    parts.opt.param_groups[0]["fused"] = True  # torch's plain Adam asks for its own step counts
    sources = [ll.TrainLoss(), ll.LearningRateMonitor(parts.opt)]
    metrics = ll.AccumulatorMetrics(parts.loaders_acc(when="epoch_end"), accuracy)
    watching = Watching()
    host = parts.host(
        *sources,
        metrics,
        ll.CsvMetrics(tmp_path / "metrics.csv", parts.counter, [*sources, metrics]),
        ll.TensorBoard(parts.counter, [*sources, metrics], tmp_path / "logs"),
        ll.Progress(parts.counter, sources),
        ll.ExponentialMovingAverage(parts.descent),
        ll.Checkpointer(parts.counter, tmp_path / "checkpoints"),
        watching,
    )
    host.run()
    assert watching.steps > 2
    read_by_the_guard = {"item": watching.steps, "aten._local_scalar_dense.default": watching.steps}
    assert asked(watching.counts) == read_by_the_guard


def test_a_step_copies_nothing_but_what_the_guard_may_have_to_put_back() -> None:
    parts = tiny(num_epochs=1)
    watching = Watching()
    parts.host(ll.TrainLoss(), watching).run()
    copies = {
        name: calls
        for name, calls in watching.counts.items()
        if name.startswith("aten.") and "copy" in name
    }
    assert set(copies) == {"aten._foreach_copy_.default"}, "the buffers of the batch norm alone"
    assert sum(copies.values()) <= 2 * watching.steps, "at once for each of two types of numbers"


def test_nothing_is_resolved_from_the_container_while_it_trains(tmp_path: Path) -> None:
    app = ll.compose(
        ["data=xor", "model=logistic", "num_epochs=2", f"hydra.run.dir={tmp_path}/run"]
    )
    host = app.host()
    host.run_context = nullcontext  # what begins and ends the run around the training may ask

    def refused() -> None:
        pytest.fail("a provider was called")

    for provider in app.traverse():
        if isinstance(provider, providers.Singleton | providers.Callable | providers.Dict):
            provider.override(providers.Callable(refused))
    host.run()
    assert host.stop_reason == "2 epochs are done"
