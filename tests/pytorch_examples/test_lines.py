"""The table of lines on docs/coming_from.md is that of what is there."""

from __future__ import annotations

from statistics import median

from tests.pytorch_examples.lines import ROWS, TABLE, table
from tests.pytorch_examples.page import PAGE, lines_of_yaml


def test_the_table_is_that_of_the_code() -> None:
    found = TABLE.search(PAGE.read_text())
    assert found is not None
    assert found[0] == table(), "python -m tests.pytorch_examples.lines"


def test_a_user_writes_less_than_six_tenths_of_the_original() -> None:
    assert len(ROWS) == 15
    assert median(whole for whole, _ in (row.shares() for row in ROWS)) <= 0.6


def test_a_line_of_yaml_says_something() -> None:
    assert lines_of_yaml("# @package _global_\n\na: 1 # one\n  b: 2\n") == 2
