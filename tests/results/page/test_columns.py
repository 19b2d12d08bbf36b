from __future__ import annotations

from pathlib import Path

from legoloop.results.page.columns import LONGEST, cell, columns_of, shortened
from legoloop.results.reading import read_runs
from tests.results.made_runs import made_run
from tests.results.page.shown_runs import shown_sweep


def test_what_differs_is_a_column_and_what_is_shared_stands_once(tmp_path: Path) -> None:
    table = columns_of(read_runs(shown_sweep(tmp_path)).runs)
    keys = [head["key"] for head in table.heads]
    assert keys[:4] == ["run", "status", "started", "duration"]
    assert {"seed", "optimizer.lr", "data.seed", "commit", "cause"} < set(keys)
    assert [head["key"] for head in table.heads if head.get("varied")] == ["seed", "optimizer.lr"]
    assert table.shared["num_epochs"] == 5
    assert table.shared["optimizer.betas"] == "[0.9, 0.99]"
    assert not table.shared.keys() & set(keys)
    assert len({len(row) for row in [keys, *table.rows]}) == 1


def test_metrics_know_which_way_is_better(tmp_path: Path) -> None:
    table = columns_of(read_runs(shown_sweep(tmp_path)).runs)
    better = {head["key"]: head.get("better") for head in table.heads if head["about"] == "metric"}
    assert better == {"val/accuracy": "higher", "val/loss": "lower"}


def test_a_key_that_a_failed_run_does_not_know_is_shared_all_the_same(tmp_path: Path) -> None:
    made_run(tmp_path, "0", {"seed": 0, "a": {"b": 1}})
    made_run(tmp_path, "1", status="FAILED", overrides=["seed=1"])
    table = columns_of(read_runs(tmp_path).runs)
    assert table.shared["a.b"] == 1
    position = [head["key"] for head in table.heads].index("seed")
    assert [row[position] for row in table.rows] == [0, 1]


def test_a_metric_with_the_name_of_a_key_is_told_apart(tmp_path: Path) -> None:
    for job in range(2):
        config = {"seed": job, "lr": 0.1 * job, "loss": "mse", "status": job, "commit": job}
        final = {"lr": 0.5, "loss": 0.25, "duration": 3.0}
        made_run(tmp_path, str(job), config, final, git={"commit": "ab"[job]})
    table = columns_of(read_runs(tmp_path).runs)
    keys = [head["key"] for head in table.heads]
    first = dict(zip(keys, table.rows[1], strict=True))
    assert len(set(keys)) == len(keys)
    assert not table.shared.keys() & set(keys)
    assert (first["lr"], first["metric lr"]) == (0.1, 0.5)
    assert (table.shared["loss"], first["metric loss"]) == ("mse", 0.25)
    assert (first["duration"], first["metric duration"]) == (1.5, 3.0)
    assert (first["status"], first["configuration status"]) == ("COMPLETED", 1)
    assert (first["commit"], first["code commit"]) == (1, "b")
    assert {head["tag"] for head in table.heads if "tag" in head} >= {"lr", "loss", "duration"}


def test_true_and_one_are_two_values(tmp_path: Path) -> None:
    for name, value in (("0", True), ("1", 1)):
        made_run(tmp_path, name, {"seed": 0, "x": value})
    table = columns_of(read_runs(tmp_path).runs)
    assert "x" not in table.shared


def test_no_runs_are_no_rows() -> None:
    assert columns_of([]).rows == []


def test_long_texts_are_cut_and_numbers_beyond_javascript_are_texts() -> None:
    assert len(shortened("a" * 5000)) == LONGEST + 1
    assert cell(2**53) == "9007199254740992"
    assert cell(-(2**53) + 1) == -(2**53) + 1
    assert cell(float("-inf")) == "-inf"
    assert cell({"a": None}) == '{"a": null}'
