from __future__ import annotations

import pytest

from legoloop.core.text_table import text_table


def test_columns_are_as_wide_as_their_widest_cell_and_lines_end_without_spaces():
    assert text_table([("a", "bb", ""), ("ccc", "d", "e")], gap=1) == "a   bb\nccc d  e"


def test_columns_are_aligned_to_the_right_if_asked_for():
    assert text_table([("name", "n"), ("x", "100")], right=[1]) == "name    n\nx     100"


def test_a_table_without_rows_is_an_empty_text():
    assert text_table([]) == ""


def test_rows_of_different_lengths_are_a_mistake():
    with pytest.raises(ValueError, match="zip"):
        text_table([("a", "b"), ("c",)])
