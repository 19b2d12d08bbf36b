from __future__ import annotations

from pathlib import Path

import pytest

from legoloop.core.errors import ArgumentError
from legoloop.results.compare import PREDICTED, Comparison, chosen_run, compare
from legoloop.results.reading import read_runs
from tests.results.made_runs import lr_and_seed, made_run

CLASSES = "idx,logit0,logit1,logit2\n"


def compared(folder: Path) -> Comparison:
    one, other = read_runs(folder).runs
    return compare(one, other)


def predicted_by(folder: Path, one: str, other: str, **config: object) -> Comparison:
    for name, predicts in (("a", one), ("b", other)):
        made_run(folder, name, config, predicts=predicts)
    return compared(folder)


def test_everything_that_differs_is_told(tmp_path: Path) -> None:
    one = made_run(
        tmp_path,
        "a",
        lr_and_seed(0.1, 0),
        {"loss": 0.5, "f1": 0.25, "auc": 0.5},
        best={"f1": 0.75},
        git={"commit": "abc", "dirty": True},
        versions={"torch": "2.6", "numpy": "2.0"},
        hardware={"cpus": 2, "gpus": []},
    )
    other = made_run(
        tmp_path,
        "b",
        lr_and_seed(0.2, 0),
        {"loss": 0.5, "f1": 0.5},
        status="FAILED",
        cause="broke",
        git={"commit": "abd", "dirty": True},
        versions={"torch": "2.7", "numpy": "2.0"},
        hardware={"cpus": 2, "gpus": ["H100"]},
    )
    (one / "git.diff").write_text("-1\n+2\n")
    (other / "git.diff").write_text("-1\n+3\n")
    found = compared(tmp_path)
    assert found.table.columns == ["about", "what", "a", "b"]
    assert [tuple(row) for row in found.table.rows] == [
        ("configuration", "optimizer.lr", 0.1, 0.2),
        ("code", "commit", "abc", "abd"),
        ("code", "git.diff", "2 lines", "2 lines, others"),
        ("versions", "torch", "2.6", "2.7"),
        ("hardware", "gpus", [], ["H100"]),
        ("outcome", "status", "COMPLETED", "FAILED"),
        ("outcome", "cause", None, "broke"),
        ("metrics", "f1", 0.25, 0.5),
        ("metrics", "auc", 0.5, None),
        ("metrics", "best f1", 0.75, 0.5),
    ]
    assert found.notes == ["predictions are not compared: a: has no predicts.csv"]


def test_runs_without_git_or_versions_are_compared(tmp_path: Path) -> None:
    for name in "ab":
        made_run(tmp_path, name, {"seed": 0}, git=None)
    assert compared(tmp_path).table.rows == []


def test_samples_that_changed_their_class(tmp_path: Path) -> None:
    found = predicted_by(
        tmp_path,
        CLASSES + "7,0.1,0.2,0.3\ncat.png,3,2,1\n9,0,0,0\n1,5,0,0\n",
        CLASSES + "cat.png,1,2,1\n7,0.1,0.2,0.4\n9,0,0,0.1\n2,5,0,0\n3,5,0,0\n",
    )
    assert list(found.table.rows) == [(PREDICTED, "cat.png", "0", "1"), (PREDICTED, "9", "0", "2")]
    assert found.notes == [
        "2 of 3 samples changed their predicted class",
        "samples that only a predicted: 1",
        "samples that only b predicted: 2",
    ]


def test_a_single_logit_predicts_by_its_sign(tmp_path: Path) -> None:
    one, other = "idx,logit0\n0,-1\n1,2\n2,0\n", "idx,logit0\n0,1\n1,3\n2,0.1\n"
    found = predicted_by(tmp_path, one, other)
    assert list(found.table.rows) == [(PREDICTED, "0", "0", "1"), (PREDICTED, "2", "0", "1")]


def test_named_columns_are_classes_if_the_configuration_says_logits(tmp_path: Path) -> None:
    one, other = "idx,cat,dog\n0,1,0\n", "idx,cat,dog\n0,0,1\n"
    for name, predicts in (("a", one), ("b", other)):
        written = {"key": "logits", "path": f"{tmp_path / name}/predicts.csv"}
        made_run(tmp_path, name, {"plugins": {"of_any_name": written}}, predicts=predicts)
    found = compared(tmp_path)
    assert list(found.table.rows) == [(PREDICTED, "0", "cat", "dog")]


def test_predictions_of_numbers_are_no_classes(tmp_path: Path) -> None:
    one, other = "idx,prediction0\n0,1.5\n", "idx,prediction0\n0,2.5\n"
    found = predicted_by(tmp_path, one, other)
    assert found.table.rows == []
    (note,) = found.notes
    assert "a: predicts.csv has no logits" in note


@pytest.mark.parametrize("damaged", ["", CLASSES + "0,1,x,3\n", CLASSES + "0,1\n1,2,3,4\n"])
def test_damaged_predictions_are_told(tmp_path: Path, damaged: str) -> None:
    found = predicted_by(tmp_path, CLASSES + "0,1,2,3\n", damaged)
    (note,) = found.notes
    assert note.startswith("predictions are not compared: b: predicts.csv cannot be read")


def test_a_comparison_is_shortened_in_its_samples_alone(tmp_path: Path) -> None:
    rows = range(9)
    one = CLASSES + "".join(f"{row},1,0,0\n" for row in rows)
    other = CLASSES + "".join(f"{row},0,1,0\n" for row in rows)
    found = predicted_by(tmp_path, one, other)
    shortened = found.shortened(4)
    assert [row[1] for row in shortened.table.rows] == list("0123")
    assert shortened.notes[-1] == "5 of them are not listed; --format csv lists all"
    assert found.shortened(9) == found


def test_a_run_is_chosen_by_its_name_or_its_directory(tmp_path: Path) -> None:
    made_run(tmp_path, "sweep/0", {"seed": 0})
    made_run(tmp_path, "sweep/1", {"seed": 0})
    runs = {run.name: run for run in read_runs(tmp_path).runs}
    assert chosen_run("sweep/0", runs) is runs["sweep/0"]
    assert chosen_run(str(tmp_path / "sweep" / "1"), {}).name == "1"
    with pytest.raises(ArgumentError, match=r"sweep/3: there is no such run; did you mean sweep/"):
        chosen_run("sweep/3", runs)
    with pytest.raises(ArgumentError, match="is not the directory of one run"):
        chosen_run(str(tmp_path / "sweep"), runs)


def test_runs_of_the_same_name_are_told_apart(tmp_path: Path) -> None:
    one, other = (made_run(tmp_path / folder, "0", {"seed": 0}) for folder in "ab")
    found = compare(chosen_run(str(one), {}), chosen_run(str(other), {}))
    assert found.table.columns == ["about", "what", str(one), str(other)]
