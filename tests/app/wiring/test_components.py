"""Parts of the user's own names, and functions that a configuration gives to the loaders."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import legoloop as ll

XOR = ("data=xor", "model=logistic", "loggers=[]", "num_epochs=1", "hydra.run.dir=run")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def composed(*overrides: str) -> Any:
    return ll.compose([*XOR, *overrides])


def test_a_part_is_given_to_whoever_asks_for_its_name_and_hears_no_stage() -> None:
    app = composed(
        "+components.second={_target_: torch.optim.SGD, lr: 0.5}",
        "plugins.descent._inject_.opt=second",
    )
    assert app.descent().opt is app.second()
    assert app.second().param_groups[0]["lr"] == 0.5
    assert "second" not in app.host().plan.plugins


def test_a_part_that_nobody_is_given_is_refused() -> None:
    with pytest.raises(ll.ConfigError, match=r"components.second.*is chosen, but no plugin"):
        composed("+components.second={_target_: torch.optim.SGD, lr: 0.5}")


def test_the_name_of_a_part_is_its_alone() -> None:
    with pytest.raises(ll.ConfigError, match=r"the name .*taken"):
        composed("+components.counter={_target_: legoloop.Counter}")


def test_loaders_are_given_functions() -> None:
    app = composed("+data.loaders.train.sampler={_target_: legoloop.ClassBalancedSampler}")
    batch = next(app.data().loop_iters()["train"])
    order = ll.ClassBalancedSampler()
    by_hand = ll.BatchStream(
        app.data().datasets()["train"], "train", 0, ll.LoaderConfig(32, sampler=order)
    )
    assert torch.equal(batch["idx"], next(by_hand)["idx"])
    in_order = next(iter(app.data().loaders()["train"]))
    assert in_order["idx"][:32].tolist() == list(range(32))


def test_a_function_of_the_users_own_collates() -> None:
    app = composed(
        "+data.loaders.default.collate={_target_: legoloop.PadCollate, padding: {features: 0}}"
    )
    app.host()
    assert isinstance(app.data().loaders()["val"], ll.Loader)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("sampler={_target_: legoloop.BalancedSamplin}", "did you mean ClassBalancedSampler"),
        ("sampler={_target_: legoloop.ClassBalancedSampler, kez: x}", "takes no 'kez'"),
        ("sampler=balanced", "sampler.*is 'balanced'; give a function, or its _target_"),
    ],
)
def test_a_wrong_function_is_refused(setting: str, message: str) -> None:
    with pytest.raises(ll.ConfigError, match=message):
        composed(f"+data.loaders.train.{setting}")
