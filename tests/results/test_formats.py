from __future__ import annotations

import csv
import io
import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from legoloop.results.formats import latex, markdown, terminal, text, to_csv, to_json
from legoloop.results.grouping import Spread
from legoloop.results.reading import Seconds
from legoloop.results.table import Table

TABLE = Table(
    ["run", "seed", "duration", "val/loss", "best val/loss", "cause"],
    [
        ["a|b_1", 0, Seconds(61), 1 / 3, 0.25, None],
        ["c", 1, None, None, None, "it,\nbroke & burnt"],
    ],
)
SPREAD = Table(["lr", "n", "loss"], [[0.1, 3, Spread(0.5, 0.25, 3)], [0.2, 1, None]])


@given(st.lists(st.floats(), min_size=1))
def test_csv_reads_back_exactly(numbers: list[float]) -> None:
    written = to_csv(Table(["x"], [[number] for number in numbers]))
    head, *cells = written.splitlines()
    assert head == "x"
    assert [repr(float(cell)) for cell in cells] == [repr(number) for number in numbers]


@given(st.lists(st.tuples(st.text(), st.floats() | st.none())))
def test_json_is_json(rows: list[Any]) -> None:
    read = json.loads(to_json(Table(["run", "x"], rows)), parse_constant=pytest.fail)
    assert read == [
        {"run": run, "x": x if x is not None and math.isfinite(x) else None} for run, x in rows
    ]


def test_a_spread_is_three_columns_for_programs() -> None:
    assert to_csv(SPREAD).splitlines() == [
        "lr,n,loss mean,loss std,loss n",
        "0.1,3,0.5,0.25,3",
        "0.2,1,,,",
    ]
    assert json.loads(to_json(SPREAD))[0]["loss std"] == 0.25


def test_markdown() -> None:
    assert markdown(TABLE).splitlines() == [
        "| run    |   seed |   duration |   val/loss |   best val/loss | cause             |",
        "|:-------|-------:|-----------:|-----------:|----------------:|:------------------|",
        "| a\\|b_1 |      0 |  1 min 1 s |     0.3333 |            0.25 |                   |",
        "| c      |      1 |            |            |                 | it, broke & burnt |",
    ]


def test_latex() -> None:
    lines = [" ".join(line.split()) for line in latex(TABLE).splitlines()]
    assert lines == [
        r"\begin{tabular}{lrrrrl}",
        r"\toprule",
        r"run & seed & duration & val/loss & best val/loss & cause \\",
        r"\midrule",
        r"a|b\_1 & 0 & 1 min 1 s & 0.3333 & 0.25 & \\",
        r"c & 1 & & & & it, broke \& burnt \\",
        r"\bottomrule",
        r"\end{tabular}",
    ]
    assert r"0.5 $\pm$ 0.25" in latex(SPREAD)


def test_a_best_value_that_is_always_the_final_one_is_shown_to_programs_alone() -> None:
    table = Table(["run", "loss", "best loss"], [["a", 0.5, 0.5]])
    for people in (terminal, markdown, latex):
        assert "best" not in people(table)
    for programs in (to_csv, to_json):
        assert "best" in programs(table)


def test_columns_without_anything_in_them_are_not_shown_to_people() -> None:
    table = Table(["run", "none", "not completed"], [["a", None, 0], ["b", None, 0]])
    assert terminal(table).splitlines() == ["run", "a", "b"]


@given(
    widths=st.lists(st.integers(1, 90), min_size=2, max_size=9),
    width=st.integers(60, 100),
    identifying=st.integers(1, 3),
    rows=st.integers(1, 3),
)
def test_no_line_is_wider_than_the_terminal(
    widths: list[int], width: int, identifying: int, rows: int
) -> None:
    names = [chr(ord("a") + place) * size for place, size in enumerate(widths)]
    cells = [[f"{name[:9]}{row}" for name in names] for row in range(rows)]
    shared = {"key" * 9: "value" * 9, "other": 3}
    lines = terminal(Table(names, cells, identifying, shared), width).splitlines()
    assert all(len(line) <= width for line in lines)
    assert lines[0].startswith("the same everywhere: ")
    assert "other 3" in lines[0]
    shown = lines[1].split()
    told = [line for line in lines if "left out" in line]
    assert len(shown) + sum(int(line.split()[0]) for line in told) == len(names)
    assert len(lines) == 2 + rows + len(told)


def test_a_narrow_terminal_loses_the_least_interesting_columns() -> None:
    names = ["run", "lr", "status", "duration", "loss", "best loss", "f1"]
    table = Table(
        names, [[n, n, n, n, n, 9 - n, n] for n in (1, 2)], expendable=["best loss", "f1"]
    )
    assert terminal(table, 46) == terminal(table)
    assert terminal(table, 45).splitlines()[0].split()[-2:] == ["loss", "f1"]
    assert terminal(table, 34).splitlines()[0].split() == [
        "run",
        "lr",
        "status",
        "duration",
        "loss",
    ]
    assert terminal(table, 28).splitlines()[0].split() == ["run", "lr", "status", "duration"]
    more = ["x" * 60, "y" * 20]
    wide = Table([*names, *more], [[n, n, n, n, n, 9 - n, n, n, n] for n in (1, 2)])
    assert terminal(wide, 130) == terminal(wide)
    told = [terminal(wide, width).splitlines()[-1] for width in (109, 108, 70, 50, 45)]
    assert told == [
        f"1 column is left out: {'y' * 20}; --metric/--format csv shows them",
        f"1 column is left out: {'y' * 20}; --metric/--format csv shows them",
        "2 columns are left out; --metric/--format csv shows them",
        "2 columns are left out; --metric/--format csv sho…",
        "3 columns are left out; --metric/--format cs…",
    ]
    five = terminal(Table([*names, *more], wide.rows, expendable=["f1", *more]), 80)
    assert five.splitlines()[-1] == (
        "2 columns are left out: f1, and 1 more; --metric/--format csv shows them"
    )


def test_what_is_equal_in_all_rows_stands_once_above() -> None:
    table = Table(["run", "lr", "ok"], [["a", 0.1, "x"], ["b", 0.1, "y"]], shared={"m": "mlp"})
    assert terminal(table).splitlines() == [
        "the same everywhere: lr 0.1 · m mlp",
        *("run  ok", "a    x", "b    y"),
    ]
    alone = Table(["run", "lr"], [["a", 0.1]])
    assert terminal(alone).splitlines() == ["run   lr", "a    0.1"]
    key = Table(["lr", "n"], [[0.1, 1], [0.1, 2]])
    assert terminal(key).splitlines()[0].split() == ["lr", "n"], "what a row is stays"
    for form in (to_csv, markdown, latex, to_json):
        assert "lr" in form(table)


def test_final_values_stand_beside_the_others_or_are_the_same() -> None:
    names = ["run", "val/f1", "best val/f1", "val/loss", "final/val/f1", "final/val/loss"]
    table = Table(names, [["a", 0.5, 0.6, 1.5, 0.7, 1.5], ["b", 0.25, 0.3, 2.5, 0.2, 2.5]])
    heads = terminal(table).splitlines()[0]
    assert heads.replace("best ", "best_").split() == [
        *("run", "val/f1", "best_val/f1", "final/val/f1", "val/loss"),
    ]
    assert to_csv(table).splitlines()[0] == ",".join(names)


def test_long_names_are_cut_at_their_beginning_and_notes_at_their_end() -> None:
    table = Table(["run", "loss", "notes"], [["r" * 99 + "0", 0.5, "n" * 50], ["b", 1.5, "x\ny"]])
    lines = terminal(table, 100).splitlines()
    assert lines[1].split() == ["…" + "r" * 50 + "0", "0.5", "n" * 39 + "…"]
    assert lines[2].split() == ["b", "1.5", "x"]


@pytest.mark.parametrize(
    ("cell", "shown"),
    [
        (Seconds(0.04), "0.0 s"),
        (Seconds(59.94), "59.9 s"),
        (Seconds(3599), "59 min 59 s"),
        (Seconds(90061), "25 h 1 min"),
        (Spread(0.5, None, 1), "0.5"),
        (1e-5, "1e-05"),
        ([8, 8], "[8, 8]"),
        (True, "True"),
    ],
)
def test_cells_for_people(cell: Any, shown: str) -> None:
    assert text(cell) == shown


def test_no_runs() -> None:
    empty = Table(["run", "status"], [])
    assert terminal(empty) == "no runs"
    assert to_csv(empty) == "run,status"
    assert json.loads(to_json(empty)) == []
    assert len(markdown(empty).splitlines()) == 2
    assert r"\begin{tabular}{ll}" in latex(empty)


EVIL = "\x1b[2J\x9b1m\r\u202e\ud800"


@pytest.mark.parametrize("form", [terminal, to_csv, to_json, markdown, latex])
def test_what_a_terminal_obeys_is_escaped(form: Any) -> None:
    shown = form(Table(["run", EVIL], [["a", EVIL], [EVIL, 1]]))
    assert all(char.isprintable() or char == "\n" for char in shown)
    assert len(shown.splitlines()) == len(
        form(Table(["run", "x"], [["a", "y"], ["b", 1]])).splitlines()
    )


@given(st.dictionaries(st.text(), st.text() | st.lists(st.floats() | st.text()), min_size=1))
def test_json_holds_what_was_given(row: dict[str, Any]) -> None:
    shown = to_json(Table(list(row), [list(row.values())]))
    (read,) = json.loads(shown, parse_constant=pytest.fail)
    assert {k: v for k, v in read.items() if isinstance(v, str)} == {
        k: v for k, v in row.items() if isinstance(v, str)
    }


@pytest.mark.parametrize(
    ("cell", "written"),
    [
        ("=1+1", "'=1+1"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("+x", "'+x"),
        ("-x", "'-x"),
        ("-1e3", "-1e3"),
        (-1.5, "-1.5"),
        (-3, "-3"),
        ("a=1", "a=1"),
    ],
)
def test_a_spreadsheet_calculates_nothing(cell: Any, written: str) -> None:
    assert to_csv(Table(["x"], [[cell]])).splitlines()[1] == written


def test_a_line_break_is_no_row_for_people() -> None:
    table = Table(["run", "x"], [["a", "1\n9  COMPLETED"]])
    assert len(terminal(table).splitlines()) == 2
    assert list(csv.reader(io.StringIO(to_csv(table)))) == [["run", "x"], ["a", "1\n9  COMPLETED"]]


def test_markdown_does_not_take_a_cell_for_several() -> None:
    (row,) = markdown(Table(["x"], [["a\\|b<c"]])).splitlines()[2:]
    assert row == "| a\\\\\\|b\\<c |"
