from __future__ import annotations

import pytest

from legoloop.core.suggestions import did_you_mean


@pytest.mark.parametrize(
    ("wrong", "right", "clause"),
    [
        ("trian", ["val", "train"], "did you mean train?"),
        ("board", ["val", "train"], "there are val, train"),
        ("board", [], "there are none"),
    ],
)
def test_the_clause(wrong, right, clause):
    assert did_you_mean(wrong, right) == clause
