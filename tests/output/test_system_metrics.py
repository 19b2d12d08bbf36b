from __future__ import annotations

import pytest
import torch

import legoloop as ll
from legoloop.output import system_metrics as module
from tests.tiny import tiny

CPU = torch.device("cpu")


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    return now


def counted(metrics: ll.SystemMetrics, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The steps at which it measures."""
    measured: list[int] = []
    measure = metrics._measure

    def noted() -> dict[str, float]:
        measured.append(metrics.counter.steps)
        return measure()

    monkeypatch.setattr(metrics, "_measure", noted)
    return measured


def test_the_processor_and_the_memory_of_this_process() -> None:
    scalars = ll.SystemMetrics(ll.Counter(), CPU).scalars()
    assert set(scalars) == {"system/cpu_percent", "system/memory_mb"}
    assert scalars["system/memory_mb"] > 100, "torch is loaded"
    assert scalars["system/cpu_percent"] >= 0
    assert all(isinstance(value, float) for value in scalars.values())


def test_it_measures_once_a_second_however_often_it_is_asked(
    clock: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    metrics = ll.SystemMetrics(ll.Counter(), CPU)
    measured = counted(metrics, monkeypatch)
    for metrics.counter.steps in range(3000):
        clock[0] += 0.001
        metrics.scalars()
        metrics.scalars()
    assert measured == [0, 1000, 2000]


def test_all_loggers_are_told_the_same_of_a_step(clock: list[float]) -> None:
    metrics = ll.SystemMetrics(ll.Counter(), CPU)
    first = metrics.scalars()
    clock[0] += 60
    assert metrics.scalars() is first
    metrics.counter.steps += 1
    assert metrics.scalars() is not first


def test_it_is_read_at_reports_alone_and_changes_no_bit() -> None:
    def trained(observed: bool) -> dict[str, torch.Tensor]:
        parts = tiny(num_epochs=2)
        metrics = ll.SystemMetrics(parts.counter, CPU)
        history = ll.History(parts.counter, metrics)
        parts.host(*[metrics, history] * observed).run()
        assert list(history.rows) == ([6, 12] if observed else [])
        return dict(parts.model.state_dict())

    with_it, without = trained(True), trained(False)
    assert all(torch.equal(with_it[name], without[name]) for name in without)


def test_a_gpu_is_measured_too(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    device = torch.device("cuda", 1)
    monkeypatch.setattr(module, "find_spec", lambda name: name)
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda of: asked.append(of) or 3_000_000)
    monkeypatch.setattr(torch.cuda, "utilization", lambda of: asked.append(of) or 97)
    scalars = ll.SystemMetrics(ll.Counter(), device).scalars()
    assert scalars["system/gpu_memory_mb"] == 3.0
    assert scalars["system/gpu_utilization"] == 97.0
    assert asked == [device, device]


@pytest.mark.parametrize(
    ("device", "missing", "package"),
    [("cpu", "psutil", "psutil"), ("cuda", "pynvml", "nvidia-ml-py")],
)
def test_names_the_extra_that_it_needs(
    device: str, missing: str, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "find_spec", lambda name: None if name == missing else name)
    with pytest.raises(ll.ConfigError, match=rf"{package}.*pip install 'legoloop\[system\]'"):
        ll.SystemMetrics(ll.Counter(), torch.device(device))
