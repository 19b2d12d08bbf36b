from __future__ import annotations

import subprocess
import sys
from math import nan
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

import legoloop as ll
from legoloop.output.weights import read_weights
from legoloop.state.checkpoints import read_checkpoint, write_checkpoint
from tests.tiny import Net, Tiny, tiny, weights

PREDICT = """
import sys, numpy, torch
from tests.tiny import Net, tiny
model = Net()
model.load_state_dict(torch.load(sys.argv[1]))
model.eval()
with torch.no_grad():
    logits = [model(batch)["logits"] for batch in tiny().loaders["val"]]
numpy.save(sys.argv[2], torch.cat(logits).numpy())
"""


@pytest.mark.slow
def test_reproduce_the_predictions_in_a_fresh_process(tmp_path: Path) -> None:
    parts = tiny()
    acc = parts.loaders_acc()
    parts.trained(
        acc,
        ll.CsvLogits(tmp_path / "predicts.csv", acc, acc_key="val"),
        ll.SaveModelWeights(parts.model, tmp_path / "weights"),
    )

    files = [str(tmp_path / "weights"), str(tmp_path / "logits.npy")]
    root = Path(__file__).parents[2]
    subprocess.run([sys.executable, "-c", PREDICT, *files], check=True, cwd=root)

    table = pd.read_csv(tmp_path / "predicts.csv").iloc[:, 1:].to_numpy(np.float32)
    np.testing.assert_array_equal(np.load(tmp_path / "logits.npy"), table)


def test_what_a_module_says_of_itself_is_saved_too(tmp_path: Path) -> None:
    class Extra(nn.Module):
        _version = 3
        told: Any = None

        def get_extra_state(self) -> dict[str, int]:
            return {"steps": 7}

        def set_extra_state(self, state: dict[str, int]) -> None:
            self.told = state

        def _load_from_state_dict(self, state: Any, prefix: str, metadata: Any, *rest: Any) -> None:
            assert metadata["version"] == 3
            super()._load_from_state_dict(state, prefix, metadata, *rest)

    ll.SaveModelWeights(nn.Sequential(Extra()), tmp_path / "weights").train_end()

    fresh = nn.Sequential(Extra())
    fresh.load_state_dict(torch.load(tmp_path / "weights"))
    assert fresh[0].told == {"steps": 7}


def test_leaves_the_model_where_it_is(tmp_path: Path) -> None:
    model = nn.Linear(2, 2)
    before = model.weight
    ll.SaveModelWeights(model, tmp_path / "weights").train_end()
    assert model.weight is before
    assert model.weight.requires_grad


class Told:
    """A source that tells the given values, one an epoch."""

    def __init__(self, *values: float) -> None:
        self.values = values
        self.epochs = 0

    def epoch_end(self) -> None:
        self.epochs += 1

    def scalars(self) -> dict[str, float]:
        return {"val/accuracy": self.values[self.epochs - 1]}

    def state_dict(self) -> dict[str, int]:
        return {"epochs": self.epochs}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self.epochs = state["epochs"]


def keeping_the_best(
    folder: Path, *values: float, num_epochs: int = 4, **given: Any
) -> tuple[Tiny, ll.TrainingHost, ll.BestModelWeights]:
    parts, told = tiny(num_epochs=num_epochs), Told(*values)
    best = ll.BestModelWeights(parts.model, folder / "weights_best", told, "val/accuracy", **given)
    last = ll.SaveModelWeights(parts.model, folder / "weights")
    return parts, parts.host(told, best, last), best


def after_epochs(number: int) -> bytes:
    return tiny(num_epochs=number).trained()


def read(path: Path) -> bytes:
    model = Net()
    model.load_state_dict(torch.load(path))
    return weights(model)


@pytest.mark.parametrize(
    ("values", "given", "best"),
    [
        ((0.1, 0.3, 0.2, 0.3), {}, 2),
        ((0.1, 0.3, 0.2, 0.3), {"mode": "min"}, 1),
        ((nan, 0.1, nan, 0.0), {}, 2),
        ((0.1, 0.2, 0.3, 0.4), {}, 4),
    ],
)
def test_keeps_those_of_the_best_epoch_beside_the_last(
    values: tuple[float, ...], given: dict[str, Any], best: int, tmp_path: Path
) -> None:
    parts, host, _ = keeping_the_best(tmp_path, *values, **given)

    host.run()

    assert read(tmp_path / "weights_best") == after_epochs(best)
    assert read(tmp_path / "weights") == weights(parts.model) == after_epochs(4)


def test_restores_the_best_before_the_end_is_measured(tmp_path: Path) -> None:
    parts, told = tiny(num_epochs=4), Told(0.1, 0.3, 0.2, 0.3)
    best = ll.BestModelWeights(
        parts.model, tmp_path / "weights_best", told, "val/accuracy", restore=True
    )
    acc = parts.loaders_acc()
    parts.trained(
        told,
        best,
        acc,
        ll.CsvLogits(tmp_path / "predicts.csv", acc, acc_key="val"),
        ll.SaveModelWeights(parts.model, tmp_path / "weights"),
    )

    assert read(tmp_path / "weights") == read(tmp_path / "weights_best") == after_epochs(2)
    plain = tiny(num_epochs=2)
    acc = plain.loaders_acc()
    plain.trained(acc, ll.CsvLogits(tmp_path / "expected.csv", acc, acc_key="val"))
    predicted = (tmp_path / "predicts.csv").read_text()
    assert predicted == (tmp_path / "expected.csv").read_text()


def test_restores_nothing_where_no_epoch_was_measured(tmp_path: Path) -> None:
    _, host, _ = keeping_the_best(tmp_path, nan, num_epochs=1, restore=True)
    host.run()
    assert read(tmp_path / "weights") == after_epochs(1)
    assert not (tmp_path / "weights_best").exists()


@pytest.mark.parametrize("elsewhere", [False, True])
def test_a_resumed_run_has_the_best_of_its_own_past(elsewhere: bool, tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / ("second" if elsewhere else "first")
    _, host, _ = keeping_the_best(first, 0.1, 0.3, num_epochs=2)
    host.run()
    write_checkpoint(tmp_path / "checkpoint", host.state_dict())
    (first / "weights_best").write_bytes(b"of an attempt that went on, and was killed")

    state = read_checkpoint(tmp_path / "checkpoint")
    parts, host, best = keeping_the_best(second, 0.1, 0.3, 0.2, 0.25, restore=True)
    host.load_state_dict({**state, "stop_reason": None, "has_trained": False})
    host.run()

    assert best.best == 0.3
    assert read(second / "weights_best") == read(second / "weights") == after_epochs(2)
    assert parts.counter.epochs == 4


def test_the_best_of_an_average_are_its_own(tmp_path: Path) -> None:
    def averaged(num_epochs: int, *values: float) -> bytes:
        parts, told = tiny(num_epochs=num_epochs), Told(*values)
        average = ll.ExponentialMovingAverage(parts.descent, decay=0.5)
        best = ll.BestModelWeights(
            parts.model, tmp_path / "best", told, "val/accuracy", restore=True, average=average
        )
        trained = parts.trained(best, told, average)
        assert weights(average.model) == trained == read(tmp_path / "best")
        return trained

    assert averaged(4, 0.1, 0.3, 0.2, 0.3) == averaged(2, 0.1, 0.3) != after_epochs(2)


def test_refuses_a_metric_nobody_knows_or_reports(tmp_path: Path) -> None:
    with pytest.raises(ll.ArgumentError, match="the direction of 'lr' is not known"):
        ll.BestModelWeights(Net(), tmp_path / "weights_best", Told(), "lr")
    best = ll.BestModelWeights(Net(), tmp_path / "weights_best", Told(1), "val/acc", mode="max")
    with pytest.raises(ll.ArgumentError, match=r"monitors 'val/acc', .* did you mean val/accuracy"):
        best.epoch_end()


def test_safetensors_have_the_same_weights(tmp_path: Path) -> None:
    load_file = pytest.importorskip("safetensors.torch").load_file
    model = Net()
    ll.SaveModelWeights(model, tmp_path / "weights").train_end()

    ll.SaveModelWeights(model, tmp_path / "weights.safetensors").train_end()

    expected, found = torch.load(tmp_path / "weights"), load_file(tmp_path / "weights.safetensors")
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], value) for name, value in expected.items())


def test_tied_and_transposed_weights_go_into_safetensors_too(tmp_path: Path) -> None:
    load_file = pytest.importorskip("safetensors.torch").load_file
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    model[1].weight = model[0].weight
    model[0].bias = nn.Parameter(torch.rand(3, 2).T[0])

    ll.SaveModelWeights(model, tmp_path / "new" / "weights.safetensors").train_end()

    fresh = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    fresh.load_state_dict(load_file(tmp_path / "new" / "weights.safetensors"))
    assert weights(fresh) == weights(model)


def test_the_best_may_be_safetensors(tmp_path: Path) -> None:
    load_file = pytest.importorskip("safetensors.torch").load_file
    path, model = tmp_path / "best.safetensors", nn.Linear(1, 1)
    ll.BestModelWeights(model, path, Told(0.5), "val/accuracy").epoch_end()
    assert torch.equal(load_file(path)["weight"], model.weight)


def test_safetensors_take_tensors_alone(tmp_path: Path) -> None:
    pytest.importorskip("safetensors")

    class Extra(nn.Module):
        def get_extra_state(self) -> dict[str, int]:
            return {"steps": 7}

    with pytest.raises(
        ll.DataError, match=r"weights.safetensors can hold tensors only, but '_extra"
    ):
        ll.SaveModelWeights(Extra(), tmp_path / "weights.safetensors").train_end()
    assert list(tmp_path.iterdir()) == []


def test_names_the_extra_that_safetensors_need(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("legoloop.output.weights.find_spec", lambda _: None)
    with pytest.raises(ll.ConfigError, match=r"install 'legoloop\[safetensors\]'"):
        ll.SaveModelWeights(nn.Linear(1, 1), tmp_path / "weights.safetensors")
    with pytest.raises(ll.ConfigError, match=r"reading .* install 'legoloop\[safetensors\]'"):
        read_weights(tmp_path / "weights.safetensors")
    ll.SaveModelWeights(nn.Linear(1, 1), tmp_path / "weights.pt")
