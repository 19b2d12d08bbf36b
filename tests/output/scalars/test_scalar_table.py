from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from legoloop.core.terminal import cells
from legoloop.output.scalars.scalar_table import (
    MARK,
    Cell,
    Column,
    RowTable,
    fitting,
    left_out,
    number,
    small_table,
)

COLOUR = re.compile(r"\x1b\[[\d;]*m")
words = st.text("abc/_ 损é\x1b\n", min_size=1, max_size=14)
columns = st.lists(
    st.builds(Column, words, st.integers(0, 9), st.integers(0, 12), st.booleans()),
    min_size=1,
    max_size=8,
    unique_by=lambda column: column.title,
)
values = st.builds(Cell, st.floats().map(number), st.booleans())


@given(columns, st.data(), st.integers(1, 130), st.booleans())
def test_no_line_is_wider_than_the_terminal_and_columns_end_where_their_titles_do(
    columns: list[Column], data: st.DataObject, width: int, has_colours: bool
) -> None:
    table = RowTable(has_colours)
    for _ in range(3):
        row = {column.title: data.draw(values) for column in columns if data.draw(st.booleans())}
        lines = table.lines(row, columns, width)
        shown = table._above or []
        assert all(cells(COLOUR.sub("", line)) <= width for line in lines)
        assert all(COLOUR.sub("", text).isprintable() for text in lines)
        end = -2
        line = COLOUR.sub("", lines[-1])
        for column in shown if sum(each.cells + 2 for each in shown) - 2 <= width else []:
            end += 2 + column.cells
            cell = row.get(column.title, Cell(""))
            text = cell.text + (MARK if cell.is_best else " ") * column.is_marked
            # All are ASCII here: the end of a cell is a place in the line.
            assert line.ljust(end)[:end].endswith(text) or not cell.text


@given(columns, st.integers(1, 200))
def test_a_narrow_terminal_loses_the_columns_that_matter_least(
    columns: list[Column], width: int
) -> None:
    stay = fitting(columns, width)
    assert stay == [column for column in columns if column in stay]
    lost = [column for column in columns if column not in stay]
    most = max(column.importance for column in stay)
    assert all(column.importance >= most for column in lost)
    assert len(stay) == 1 or sum(column.cells + 2 for column in stay) - 2 <= width


def test_the_header_stands_there_once_unless_a_value_outgrows_its_column() -> None:
    table = RowTable()
    columns = [Column("epoch"), Column("loss", width=6)]
    lines = [
        *table.lines({"epoch": Cell("1"), "loss": Cell("0.5000")}, columns, 80),
        *table.lines({"epoch": Cell("2"), "loss": Cell("0.2500")}, columns, 80),
        *table.lines({"epoch": Cell("3")}, columns, 80),
        *table.lines({"epoch": Cell("4"), "loss": Cell("-1.23e-05")}, columns, 80),
    ]
    assert lines == [
        "epoch    loss",
        "    1  0.5000",
        "    2  0.2500",
        "    3",
        "epoch       loss",
        "    4  -1.23e-05",
    ]


def test_the_best_is_marked_and_in_colour_where_there_are_colours() -> None:
    row, columns = {"val/f1": Cell("0.5", True)}, [Column("val/f1", is_marked=True)]
    assert RowTable().lines(row, columns, 80)[1] == "   0.5*"
    assert RowTable(has_colours=True).lines(row, columns, 80)[1] == "\x1b[1;32m   0.5*\x1b[0m"


@pytest.mark.slow
@given(
    st.dictionaries(words, st.dictionaries(words, values.map(lambda cell: cell.text)), min_size=1),
    st.integers(1, 130),
)
def test_a_small_table_fits_too(rows: dict[str, dict[str, str]], width: int) -> None:
    lines = small_table("final", rows, width)
    assert len(lines) == 1 + len(rows)
    assert all(cells(line) <= width for line in lines if line.isascii())


@given(st.lists(words, min_size=1, max_size=30), st.integers(1, 130))
def test_what_is_left_out_is_one_line(tags: list[str], width: int) -> None:
    line = left_out(tags, "columns=[…]", width)
    assert cells(line) <= width
    assert line.isprintable()


@given(st.floats())
def test_a_number_takes_ten_characters_at_most(value: float) -> None:
    assert len(number(value)) <= 10
