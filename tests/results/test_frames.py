from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from legoloop.core.errors import DataError
from legoloop.results import load
from tests.results.made_runs import lr_and_seed, made_run, made_sweep


def test_runs_have_what_varied_and_every_metric(tmp_path: Path) -> None:
    results = load(made_sweep(tmp_path))
    runs = results.runs()
    assert runs.index.name == "run"
    assert list(runs.columns) == [
        *("seed", "optimizer.lr", "status", "duration"),
        *("lr", "train/accuracy", "best train/accuracy"),
        *("val/accuracy", "best val/accuracy", "val/loss", "best val/loss"),
        *("final/val/accuracy", "best final/val/accuracy"),
    ]
    assert results.varied() == ["seed", "optimizer.lr"]
    assert runs["duration"].tolist() == [1.5] * 6
    assert pd.api.types.is_float_dtype(runs["val/accuracy"])
    means = runs.groupby("optimizer.lr")["val/accuracy"].mean()
    assert means[0.1] == pytest.approx(0.1 + 1 / 16)


def test_curves_are_stacked_with_exact_numbers(tmp_path: Path) -> None:
    number = 0.30000000000000004
    made_run(tmp_path, "a", {"seed": 0}, metrics=f"step,epoch,loss\n1,1,{number}\n2,2,0.1\n")
    made_run(tmp_path, "b", {"seed": 1}, metrics="step,epoch,f1\n1,1,0.5\n")
    made_run(tmp_path, "c", {"seed": 2})
    curves = load(tmp_path).curves()
    assert list(curves.columns) == ["run", "step", "epoch", "loss", "f1"]
    assert curves["run"].tolist() == ["a", "a", "b"]
    assert curves["loss"].tolist()[:2] == [number, 0.1]


def test_predictions_are_stacked_with_their_classes(tmp_path: Path) -> None:
    predicts = "idx,logit0,logit1\n5,0.25,0.75\n6,1.0,0.0\n"
    made_run(tmp_path, "a", {"seed": 0}, predicts=predicts)
    made_run(tmp_path, "b", {"seed": 1}, predicts="idx,prediction0\n5,1.5\n")
    predictions = load(tmp_path).predictions()
    assert list(predictions.columns) == [
        *("run", "idx", "logit0", "logit1", "predicted", "prediction0")
    ]
    assert predictions["idx"].tolist() == [5, 6, 5]
    assert predictions["predicted"].tolist()[:2] == [1, 0]


def test_targets_stand_beside_the_predictions(tmp_path: Path) -> None:
    logits = "idx,logit0,logit1\n5,0.25,0.75\n6,1.0,0.0\n7,0,1\n"
    run = made_run(tmp_path, "a", {"seed": 0}, predicts=logits)
    (run / "targets.csv").write_text("idx,target\n6,0\n5,0\n")
    predictions = load(tmp_path).predictions()
    assert list(predictions.columns) == [
        *("run", "idx", "logit0", "logit1", "target", "predicted"),
    ]
    assert predictions["target"].tolist()[:2] == [0, 0]
    assert predictions["target"].isna().tolist() == [False, False, True]
    wrong = predictions[predictions["predicted"] != predictions["target"]].dropna()
    assert wrong["idx"].tolist() == [5]


@pytest.mark.parametrize("head", ["prediction0,prediction1", "logit0,logit1"])
def test_targets_that_are_no_classes_stand_there_as_they_are(tmp_path: Path, head: str) -> None:
    run = made_run(tmp_path, "a", {"seed": 0}, predicts=f"idx,{head}\n5,1.5,2.5\n6,0,1\n")
    (run / "targets.csv").write_text("idx,target0,target1\n6,3.5,4\n5,1,1\n")
    predictions = load(tmp_path).predictions()
    assert predictions["target0"].tolist() == [1.0, 3.5]
    assert predictions["target1"].tolist() == [1, 4]


def test_damaged_targets_are_told(tmp_path: Path) -> None:
    run = made_run(tmp_path, "a", {"seed": 0}, predicts="idx,logit0\n5,1\n")
    (run / "targets.csv").write_text("idx,target\n5\n")
    with pytest.raises(DataError, match=r"targets\.csv cannot be read"):
        load(tmp_path).predictions()


def test_nothing_to_stack_is_an_empty_table(tmp_path: Path) -> None:
    made_run(tmp_path, "a", {"seed": 0}, status="RUNNING")
    results = load(tmp_path)
    assert results.curves().empty
    assert results.predictions().empty


def test_failures_tell_their_causes(tmp_path: Path) -> None:
    made_run(tmp_path, "a", lr_and_seed(0.1, 0), {"loss": 0.5})
    made_run(tmp_path, "b", lr_and_seed(0.2, 0), status="FAILED", cause="broke")
    runs = load(tmp_path).runs()
    assert runs["cause"].tolist()[1] == "broke"
    assert runs["loss"].isna().tolist() == [False, True]


def test_a_metric_does_not_take_the_place_of_a_key_of_its_name(tmp_path: Path) -> None:
    made_run(tmp_path, "a", {"lr": 0.1}, {"lr": 0.01})
    made_run(tmp_path, "b", {"lr": 0.2}, {"lr": 0.02})
    assert load(tmp_path).runs()["lr"].tolist() == [0.1, 0.2]


def test_load_warns_of_what_cannot_be_read(tmp_path: Path) -> None:
    made_run(tmp_path, "a", {"seed": 0})
    (made_run(tmp_path, "b", {"seed": 0}) / "run.json").write_text("{")
    with pytest.warns(UserWarning, match="b: run.json cannot be read"):
        assert len(load(tmp_path).runs()) == 1


def test_an_index_with_underscores_is_no_number(tmp_path: Path) -> None:
    made_run(tmp_path, "0", predicts="idx,logit0,logit1\n1_23,0.5,1.0\n12_3,0.5,1.0\n")
    assert load(tmp_path).predictions()["idx"].tolist() == ["1_23", "12_3"]
