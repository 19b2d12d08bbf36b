from __future__ import annotations

import pytest

from legoloop.core.text import shorten


@pytest.mark.parametrize(
    ("items", "text"),
    [
        ([], ""),
        (["a"], "a"),
        (["a", "b"], "a, b"),
        (["a", "b", "c"], "a, b, and 1 more"),
        (iter("abcd"), "a, b, and 2 more"),
    ],
)
def test_no_more_than_the_first_are_shown(items, text):
    assert shorten(items, most=2) == text


def test_another_separator_stands_before_the_rest_too():
    assert shorten([1, 2, 3], most=1, separator="; ") == "1; and 2 more"
