from __future__ import annotations

import pytest

from legoloop.core.suggestions import suggestion


@pytest.mark.parametrize(
    ("wrong", "right", "clause"),
    [
        ("trian", ["val", "train"], "did you mean train?"),
        ("board", ["val", "train"], "there are val, train"),
        ("board", [], "there are none"),
    ],
)
def test_the_clause(wrong, right, clause):
    assert suggestion(wrong, right) == clause
