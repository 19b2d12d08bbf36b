"""The samples that a run got wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from legoloop.core.errors import DataError
from legoloop.results.mistakes import Mistakes, mistakes_of
from legoloop.results.reading import read_run
from tests.results.made_runs import made_run


def mistakes(folder: Path, predicts: str, targets: str | None) -> Mistakes:
    directory = made_run(folder, "a", {"seed": 0}, predicts=predicts)
    if targets is not None:
        (directory / "targets.csv").write_text(targets)
    return mistakes_of(read_run(directory, "a"))


def test_the_worst_comes_first_with_its_probability_and_margin(tmp_path: Path) -> None:
    found = mistakes(
        tmp_path,
        "idx,logit0,logit1\ncat.png,0,1\n8,3,0\n9,0,2\n7,0,0.5\n",
        "idx,target\n8,1\n9,1\ncat.png,0\n",
    )
    assert found.total == 3
    (first, second) = found.table.rows
    assert first == ["8", "1", "0", pytest.approx(1 / (1 + 2.718281828**-3)), 3.0]
    assert second == ["cat.png", "0", "1", pytest.approx(0.7310585), 1.0]
    assert found.shortened(1).table.rows == [first]


def test_of_a_single_logit_zero_is_the_other_class(tmp_path: Path) -> None:
    found = mistakes(tmp_path, "idx,logit0\n0,-1\n1,2\n2,1\n", "idx,target\n0,1.0\n1,0.0\n2,1\n")
    assert [(row[0], row[1], row[2], row[4]) for row in found.table.rows] == [
        *(("1", "0", "1", 2.0), ("0", "1", "0", 1.0)),
    ]
    assert found.table.rows[0][3] == pytest.approx(0.8807970)


def test_soft_targets_are_their_likeliest_class(tmp_path: Path) -> None:
    targets = "idx,target0,target1\n0,0.75,0.25\n1,0.25,0.75\n"
    found = mistakes(tmp_path, "idx,logit0,logit1\n0,1,3\n1,1,3\n", targets)
    assert [row[:3] for row in found.table.rows] == [["0", "0", "1"]]


def test_named_columns_name_the_classes(tmp_path: Path) -> None:
    config = {"p": {"key": "logits", "path": f"{tmp_path / 'a'}/predicts.csv"}}
    directory = made_run(tmp_path, "a", config, predicts="idx,cat,dog\n0,1,0\n")
    (directory / "targets.csv").write_text("idx,target\n0,1\n")
    found = mistakes_of(read_run(directory, "a"))
    assert found.table.rows[0][1:3] == ["dog", "cat"]


def test_a_logit_that_is_nan_is_the_worst(tmp_path: Path) -> None:
    found = mistakes(tmp_path, "idx,logit0,logit1\n0,9,0\n1,0,\n", "idx,target\n0,1\n1,0\n")
    assert [(row[0], row[4]) for row in found.table.rows] == [("1", float("inf")), ("0", 9.0)]


def test_a_class_without_a_logit_is_a_mistake(tmp_path: Path) -> None:
    found = mistakes(tmp_path, "idx,logit0,logit1\n0,3,1\n", "idx,target\n0,5\n")
    assert found.table.rows == [["0", "5", "0", pytest.approx(0.8807970), 2.0]]


@pytest.mark.parametrize(
    ("predicts", "targets", "message"),
    [
        ("idx,logit0\n0,1\n", None, "a: has no targets.csv, so nobody knows what is right; eva"),
        ("idx,prediction0\n0,1\n", "idx,target\n0,1\n", "a: predicts.csv has no logits"),
        ("idx,logit0\n0,1\n", "idx,target\n0\n", "a: targets.csv cannot be read"),
        ("idx,logit0\n0,1\n", "", "a: targets.csv cannot be read"),
        ("idx,logit0\n0,1\n", "idx,target\n0,cat\n", "a: targets.csv has no classes"),
        ("idx,logit0,logit1\n0,1,2\n", "idx,target\n0,0.5\n", "'targets.csv' has values from 0.5"),
    ],
)
def test_what_is_missing_is_one_message(
    tmp_path: Path, predicts: str, targets: str | None, message: str
) -> None:
    with pytest.raises(DataError) as error:
        mistakes(tmp_path, predicts, targets)
    assert str(error.value).startswith(message)


def test_samples_without_a_target_are_left_out(tmp_path: Path) -> None:
    found = mistakes(tmp_path, "idx,logit0\n0,1\n", "idx,target\n7,0\n")
    assert (found.total, found.table.rows) == (0, [])
