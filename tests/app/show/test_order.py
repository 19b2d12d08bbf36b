"""The order of the plugins is known before anything is built, and is the one of the run."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pandas as pd
import pytest

from legoloop import evaluate
from legoloop.app.config.blueprint import Blueprint
from legoloop.app.show.plan import plan_text
from legoloop.app.show.schedule import schedule_text
from legoloop.app.wiring.container import make_app
from legoloop.app.wiring.make_app import validated_app
from tests.app.command import Command
from tests.app.composed import XOR, blueprint_of
from tests.test_conf import NEEDS_PACKAGES, options, overrides

pytestmark = pytest.mark.slow  # the command, again and again

HOOKED = ("plugins", "loggers", "scheduler", "debug")


class Forgets:
    """Uses what it is given only here."""

    def __init__(self, x: object, also: object = None) -> None:
        self.name = type(x).__name__

    def epoch_end(self) -> None: ...


class WantsToBeEarly(Forgets):
    before = ("checkpoints",)


@pytest.fixture(autouse=True)
def importable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is defined above under the name ``bricks``."""
    monkeypatch.setitem(sys.modules, "bricks", sys.modules[__name__])
    monkeypatch.chdir(tmp_path)


def shown(blueprint: Blueprint) -> str:
    """The table of ``show=plan``."""
    return plan_text(blueprint, lambda key: "here").partition("\n\n")[2]


def of_the_run(blueprint: Blueprint) -> str:
    """The table of ``plan.txt``."""
    app, _ = validated_app(blueprint)
    table: str = app.host().plan.table()
    return table


@pytest.mark.parametrize("option", [o for o in options() if o.partition("=")[0] in HOOKED])
def test_the_table_that_is_shown_is_that_of_the_run(option: str) -> None:
    if option in NEEDS_PACKAGES:
        pytest.importorskip(NEEDS_PACKAGES[option])
    blueprint = blueprint_of(*overrides(option))
    assert shown(blueprint) == of_the_run(blueprint)
    assert all(name in shown(blueprint) for name in ("descent", "counter"))


@pytest.mark.parametrize("kind", ["Forgets", "WantsToBeEarly"])
@pytest.mark.parametrize("given", ["train_loss", "learning_rate", "last", "csv", "sources"])
def test_a_component_that_is_used_in_the_constructor_alone_comes_first(
    kind: str, given: str
) -> None:
    node = f"{{_target_: bricks.{kind}, _inject_: {{x: {given}}}}}"
    blueprint = blueprint_of(*XOR, "loggers=[csv]", f"+plugins.a={node}", f"+plugins.z={node}")
    assert shown(blueprint) == of_the_run(blueprint)
    order = blueprint.plugin_order
    for earlier in blueprint.lists.get(given, [given]):
        assert order.index(earlier) < min(order.index("a"), order.index("z"))
    if kind == "WantsToBeEarly":
        assert order.index("a") < order.index("checkpoints")


RENAMED = (
    "~plugins.history",
    "+plugins.memory={_target_: legoloop.History, _inject_: {sources: sources}}",
    "~plugins.loaders_acc",
    "+plugins.at_the_end={_target_: legoloop.LoadersAcc, _inject_: {factory: accumulators}}",
    "plugins.loaders_metrics._inject_.acc_plugin=at_the_end",
    "~plugins.predicts",
    "+plugins.answers={_target_: legoloop.CsvLogits, _inject_: {acc_plugin: at_the_end}, "
    "acc_key: '${data.predict_dataset}', key: '${data.output_key}', "
    "path: '${run_dir}/predicts.csv'}",
    "+plugins.at_most={_target_: legoloop.LastStep, num_steps: 3}",
)
SMALL = (*XOR, "loggers=[csv]", "num_epochs=2", "epoch_size=128", "eval_samples=64")


def test_the_names_of_plugins_are_the_users_to_choose(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    command = Command(tmp_path, monkeypatch, capfd)
    ended = command(*SMALL, *RENAMED, "hydra.run.dir=run")
    assert (ended.status, ended.err) == (0, "")
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert record["stop_reason"].startswith("3 steps")
    final = pd.read_csv(tmp_path / "run" / "metrics.csv").ffill().iloc[-1]
    assert {"val/accuracy", "final/val/accuracy", "loss"} <= record["final"].keys()
    assert record["final"]["final/val/accuracy"] == final["final/val/accuracy"]
    assert {"val/accuracy", "loss"} <= record["best"].keys()

    evaluate.main(["run", "--output", "out", "--on", "val,train"])
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        *("config.yaml", "metrics.json", "predicts.csv", "predicts_train.csv"),
    }
    again = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert again == {
        tag: value for tag, value in record["final"].items() if tag.startswith("final/")
    }
    predicted = (tmp_path / "run" / "predicts.csv").read_bytes()
    assert (tmp_path / "out" / "predicts.csv").read_bytes() == predicted


def test_of_renamed_plugins_the_order_and_the_schedule_are_known() -> None:
    blueprint = blueprint_of(*SMALL, *RENAMED, "scheduler=exponential")
    assert shown(blueprint) == of_the_run(blueprint)
    assert "epochs, 3 steps\n" in schedule_text(make_app(blueprint), blueprint)
    by_its_name = blueprint_of(
        *SMALL,
        "plugins=[default,checkpoints,last_step]",
        "plugins.last_step.num_steps=3",
        "scheduler=exponential",
    )
    assert schedule_text(make_app(blueprint), blueprint) == schedule_text(
        make_app(by_its_name), by_its_name
    )
