"""Evaluation when it is wanted: by epochs, by steps, and what looks at it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import legoloop as ll
from legoloop.app.wiring.make_app import validated_app
from legoloop.core.errors import ArgumentError
from legoloop.core.monitor import Monitor
from tests.app.composed import blueprint_of, refusal
from tests.app.killed import assert_a_killed_run_leaves_the_same
from tests.tiny import Noisy, Tiny, tiny


def crossing(accumulated: dict[str, Any]) -> dict[str, float]:
    """A number that says which weights were evaluated, and how many samples."""
    logits = accumulated["logits"]
    return {"sum": float(logits.sum()), "samples": float(len(logits))}


def evaluated(parts: Tiny, **given: Any) -> tuple[ll.LoopsAcc, ll.AccumulatorMetrics]:
    acc = parts.loops_acc(counter=parts.counter, datasets=["val"], **given)
    return acc, ll.AccumulatorMetrics(acc, crossing)


def rows(num_epochs: int = 2, **given: Any) -> dict[int, dict[str, float]]:
    """What a history has of a run of so many epochs of 6 steps, by step."""
    parts = tiny(num_epochs)
    acc, metrics = evaluated(parts, **given)
    loss = ll.TrainLoss()
    history = ll.History(parts.counter, [loss, metrics])
    parts.host(acc, metrics, loss, history).run()
    return history.rows


def at(rows: dict[int, dict[str, float]], tag: str) -> list[int]:
    return [step for step, scalars in rows.items() if tag in scalars]


def test_after_each_epoch_unless_something_else_is_said() -> None:
    assert at(rows(), "val/sum") == [6, 12]


@pytest.mark.parametrize(
    ("given", "steps"),
    [
        ({"every_epochs": 2}, [12, 24]),
        ({"every_epochs": 3}, [18]),
        ({"every_epochs": None}, []),
        ({"every_steps": 4}, [4, 6, 8, 12, 16, 18, 20, 24]),
        ({"every_steps": 5, "every_epochs": None}, [5, 10, 15, 20]),
        ({"every_steps": 6, "every_epochs": 2}, [6, 12, 18, 24]),
        ({"every_steps": 100, "every_epochs": None}, []),
    ],
)
def test_after_so_many_epochs_and_steps(given: dict[str, Any], steps: list[int]) -> None:
    found = rows(4, **given)
    assert at(found, "val/sum") == steps
    assert at(found, "loss") == [6, 12, 18, 24], "the mean over an epoch is not that of a part"
    assert [list(found[step]) for step in steps if step % 6] == [
        ["val/sum", "val/samples"] for step in steps if step % 6
    ]


def test_each_is_of_the_weights_of_its_step() -> None:
    whole = rows(2, every_steps=1)
    assert at(whole, "val/sum") == list(range(1, 13))
    assert len({whole[step]["val/sum"] for step in whole}) == 12
    for every in (2, 3, 4):
        part = rows(2, every_steps=every, every_epochs=None)
        assert all(part[step]["val/sum"] == whole[step]["val/sum"] for step in at(part, "val/sum"))


def test_two_that_are_due_at_other_steps_do_not_report_each_other() -> None:
    parts = tiny()
    often, often_metrics = evaluated(parts, every_steps=2, every_epochs=None)
    seldom = parts.loops_acc(counter=parts.counter, datasets=["train"], every_steps=3)
    seldom_metrics = ll.AccumulatorMetrics(seldom, crossing)
    history = ll.History(parts.counter, [often_metrics, seldom_metrics], every_steps=1)
    parts.host(often, often_metrics, seldom, seldom_metrics, history).run()
    assert at(history.rows, "val/sum") == [2, 4, 6, 8, 10, 12]
    assert at(history.rows, "train/sum") == [3, 6, 9, 12]


def test_the_last_step_of_an_epoch_is_evaluated_once() -> None:
    parts = tiny()
    acc, metrics = evaluated(parts, every_steps=3)
    parts.host(acc, metrics).run()
    assert acc.evaluated == 4 * 9


def test_the_training_is_the_same_to_the_bit() -> None:
    bare = tiny(dataset=Noisy()).trained()
    parts = tiny(dataset=Noisy())
    assert parts.trained(*evaluated(parts, every_steps=1)) == bare


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"every_steps": 0}, "every_steps is 0; give a whole number of at least 1"),
        ({"every_epochs": -1}, "every_epochs is -1; give a whole number of at least 1"),
        (
            {"counter": None, "every_steps": 4},
            "counter is None, but every_epochs and every_steps are counted; give the Counter of "
            "the run",
        ),
    ],
)
def test_wrong_numbers_are_refused(given: dict[str, Any], told: str) -> None:
    parts = tiny()
    with pytest.raises(ArgumentError) as refused:
        parts.loops_acc(**{"counter": parts.counter, **given})
    assert str(refused.value) == told


class Told:
    """An evaluation of which the metric is told beforehand, one value a time."""

    when, datasets = "epoch_end", ("val",)

    def __init__(self, values: list[float], counter: ll.Counter, **given: Any) -> None:
        self.values = list(values)
        self.acc: Any = None
        self.counter, self.given = counter, given

    def metrics(self, parts: Tiny) -> tuple[Any, ...]:
        self.acc = parts.loops_acc(counter=self.counter, datasets=["val"], **self.given)
        measured = ll.AccumulatorMetrics(self.acc, lambda _: {"score": self.values.pop(0)})
        return self.acc, measured


def told(parts: Tiny, values: list[float], **given: Any) -> tuple[Any, ll.AccumulatorMetrics]:
    return Told(values, parts.counter, **given).metrics(parts)  # type: ignore[return-value]


def test_early_stopping_counts_evaluations_and_stops_within_an_epoch() -> None:
    parts = tiny(9)
    acc, metrics = told(parts, [3.0, 2.0, 2.5, 2.6, 2.7], every_steps=2, every_epochs=None)
    stopping = ll.EarlyStopping(metrics, "val/score", patience=2, mode="min")
    host = parts.host(acc, metrics, stopping)
    host.run()
    assert (parts.counter.steps, parts.counter.epochs) == (8, 2)
    assert host.stop_reason == "val/score has not fallen below 2 for 2 evaluations"


def test_early_stopping_waits_for_an_evaluation_that_is_not_due() -> None:
    parts = tiny(9)
    acc, metrics = told(parts, [3.0, 3.5, 3.6], every_epochs=2)
    stopping = ll.EarlyStopping(metrics, "val/score", patience=2, mode="min")
    host = parts.host(acc, metrics, stopping)
    host.run()
    assert parts.counter.epochs == 6
    assert host.stop_reason == "val/score has not fallen below 3 for 2 evaluations"


def test_what_is_read_after_an_epoch_is_not_read_within_it() -> None:
    parts = tiny(9)
    acc, metrics = told(parts, [1.0] * 99, every_steps=1)
    loss = ll.TrainLoss()
    stopping = ll.EarlyStopping([loss, metrics], "loss", patience=2, min_delta=99.0)
    host = parts.host(acc, metrics, loss, stopping)
    host.run()
    assert parts.counter.epochs == 3
    assert host.stop_reason is not None
    assert host.stop_reason.endswith("for 2 epochs")


@pytest.mark.parametrize("every", [{"every_epochs": 2}, {"every_steps": 4, "every_epochs": None}])
def test_a_metric_that_no_evaluation_has_is_refused_once_that_is_known(every: Any) -> None:
    parts = tiny(9)
    acc, metrics = told(parts, [1.0] * 99, **every)
    stopping = ll.EarlyStopping(metrics, "val/scroe", patience=2, mode="min")
    with pytest.raises(ArgumentError, match="which no source reports"):
        parts.host(acc, metrics, stopping).run()
    assert parts.counter.epochs <= 2


def test_the_best_weights_may_be_those_of_a_step(tmp_path: Path) -> None:
    parts = tiny(2)
    acc, metrics = told(parts, [0.5, 0.9, 0.7, 0.8], every_steps=3, every_epochs=None)
    kept: dict[int, Any] = {}

    class Keeps:
        def within_epoch(self) -> None:
            kept[parts.counter.steps] = {
                name: value.clone() for name, value in parts.model.state_dict().items()
            }

    best = ll.BestModelWeights(
        parts.model, tmp_path / "best", metrics, "val/score", mode="max", restore=True
    )
    parts.host(acc, metrics, best, Keeps()).run()
    assert sorted(kept) == [3, 6, 9, 12]
    for found in (torch.load(tmp_path / "best"), parts.model.state_dict()):
        assert all(torch.equal(found[name], kept[6][name]) for name in kept[6])


def test_the_plateau_is_left_with_the_next_batch() -> None:
    parts = tiny(2)
    acc, metrics = told(parts, [1.0, 1.0, 1.0, 1.0], every_steps=3, every_epochs=None)
    schedule = torch.optim.lr_scheduler.ReduceLROnPlateau(parts.opt, factor=0.5, patience=0)
    plateau = ll.ReduceLROnPlateauPlugin(schedule, metrics, "val/score")
    rates: list[float] = []

    class Rates:
        def batch_end(self, step: ll.Step) -> None:
            rates.append(parts.opt.param_groups[0]["lr"])

    parts.host(acc, metrics, plateau, Rates()).run()
    assert rates == [0.01] * 6 + [0.005] * 3 + [0.0025] * 3


def test_the_best_checkpoint_may_be_that_of_a_step(tmp_path: Path) -> None:
    parts = tiny(2)
    acc, metrics = told(parts, [0.5, 0.9, 0.7, 0.8], every_steps=3, every_epochs=None)
    saver = ll.Checkpointer(
        parts.counter,
        tmp_path,
        keep_last=1,
        keep_best=1,
        metric="val/score",
        mode="max",
        sources=metrics,
    )
    parts.host(acc, metrics, saver).run()
    assert {folder.name for folder in tmp_path.iterdir()} == {"6", "12"}


def test_progress_and_files_get_a_row_for_each(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    parts = tiny(2)
    acc, metrics = told(parts, [0.5, 0.9, 0.7, 0.8], every_steps=5, every_epochs=2)
    loss = ll.TrainLoss()
    given: dict[str, Any] = {"counter": parts.counter, "sources": [loss, metrics]}
    progress = ll.Progress(**given, num_epochs=2, columns=["val/*"])
    table = ll.CsvMetrics(tmp_path / "metrics.csv", **given)
    parts.host(acc, metrics, loss, progress, table).run()
    lines = [line.split(",") for line in (tmp_path / "metrics.csv").read_text().splitlines()]
    steps = [(line[0], line[lines[0].index("val/score")]) for line in lines[1:]]
    assert steps == [("5", "0.5"), ("6", ""), ("10", "0.9"), ("12", "0.7")]
    printed = [line.split() for line in capsys.readouterr().out.splitlines()]
    reports = [line[:-2] for line in printed if line and line[0].endswith("/2")]  # without the time
    assert reports == [
        ["1/2", "5", "0.5000"],
        ["1/2", "6"],
        ["2/2", "10", "0.9000"],
        ["2/2", "12", "0.7000"],
    ]


def test_a_plugin_of_ones_own_asks_for_itself() -> None:
    class Looks:
        def __init__(self, counter: ll.Counter) -> None:
            self.counter, self.looks = counter, list[int]()

        def batch_end(self, step: ll.Step) -> ll.ShouldEvaluate | None:
            return ll.ShouldEvaluate() if self.counter.steps in (1, 10) else None

        def within_epoch(self) -> None:
            self.looks.append(self.counter.steps)

    parts = tiny()
    looks = Looks(parts.counter)
    acc, metrics = evaluated(parts)
    history = ll.History(parts.counter, metrics)
    parts.host(looks, acc, metrics, history).run()
    assert looks.looks == [1, 10]
    assert at(history.rows, "val/sum") == [6, 12], "which is due after epochs"


def test_a_monitor_looks_where_something_is_new() -> None:
    parts = tiny()
    acc, metrics = evaluated(parts, every_steps=2, every_epochs=None)
    monitor = Monitor(metrics, "val/samples", "a test")
    assert monitor.after_epoch() is None
    parts.counter.steps = 2
    assert monitor.within_epoch() is None
    metrics.within_epoch()
    assert (monitor.within_epoch(), monitor.is_by_steps) == (9.0, True)
    acc.epoch_end(), metrics.epoch_end()
    assert monitor.after_epoch() is None


def test_the_end_evaluates_so_many_samples_spread_over_all() -> None:
    parts = tiny()
    acc = parts.loaders_acc(samples_limit=5, datasets=["train", "val"])
    assert acc.collect("train")["idx"].tolist() == [0, 4, 8, 13, 17]
    assert acc.collect("val")["idx"].tolist() == [0, 1, 3, 5, 7]
    assert [rows["idx"].tolist() for rows in acc.iterate("val", ["idx"])] == [[0, 1, 3, 5], [7]]
    assert parts.loaders_acc(samples_limit=99).collect("val")["idx"].tolist() == list(range(9))


def test_a_loader_of_ones_own_has_no_part() -> None:
    parts = tiny()
    parts.loaders["val"] = [{"idx": [1]}]  # type: ignore[assignment]
    with pytest.raises(ArgumentError) as refused:
        parts.loaders_acc(samples_limit=3)
    assert str(refused.value) == (
        "samples_limit is 3, but loader 'val', a list, cannot serve a part of its samples; give "
        "null, or a Loader"
    )


def test_the_end_can_be_switched_off(tmp_path: Path) -> None:
    parts = tiny()
    acc = parts.loaders_acc(enabled=False)
    metrics = ll.AccumulatorMetrics(acc, crossing, prefix="final/")
    written = ll.CsvLogits(tmp_path / "predicts.csv", acc, "val")
    history = ll.History(parts.counter, metrics)
    parts.host(acc, metrics, written, history).run()
    assert (acc.evaluated, history.rows) == (0, {})
    assert not (tmp_path / "predicts.csv").exists()


XOR = ("data=xor", "model=logistic", "loggers=[]")


def test_the_settings_reach_the_evaluations() -> None:
    given = ("evaluate_every=2", "evaluate_every_steps=10", "final_evaluation=false")
    app, _ = validated_app(blueprint_of(*XOR, *given, "final_samples=7"))
    loops, loaders = app.loops_acc(), app.loaders_acc()
    assert (loops.every_epochs, loops.every_steps, loops.counter) == (2, 10, app.counter())
    assert (loaders.enabled, loaders.samples_limit) == (False, 7)


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("evaluate_every=0", "is 0; give a whole number of at least 1, or null"),
        ("evaluate_every_steps=often", "is 'often'; give a whole number of at least 1, or null"),
        ("final_samples=-3", "is -3; give a whole number of at least 1, or null"),
        ("final_evaluation=maybe", "is 'maybe'; give true or false"),
    ],
)
def test_wrong_settings_are_refused(override: str, told: str) -> None:
    assert refusal(*XOR, override) == f"{override.partition('=')[0]} (command line): {told}"


def test_a_bound_that_nothing_reads_is_refused() -> None:
    assert refusal(*XOR, "debug=limit", "final_samples=3") == (
        "final_samples (command line): has no effect here: no component refers to it; leave it out"
    )


@pytest.mark.slow
@pytest.mark.parametrize("kill", [4, 6, 13])
def test_a_run_that_is_killed_goes_on_to_the_same_bits(tmp_path: Path, kill: int) -> None:
    given = [
        *("data=xor", "num_epochs=2", "loggers=[csv]", "epoch_size=320", "eval_samples=100"),
        *("evaluate_every_steps=3", "evaluate_every=2", "scheduler=plateau", "model.dropout=0.2"),
        "plugins=[default,checkpoints,best_weights,early_stopping,ema]",
    ]
    app = assert_a_killed_run_leaves_the_same(tmp_path, kill, *given)
    assert at(app.history().rows, "val/loss") == [3, 6, 9, 12, 15, 18, 20]
    both = [(tmp_path / run / "weights_best").read_bytes() for run in ("whole", "killed")]
    assert both[0] == both[1]
