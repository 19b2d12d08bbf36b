from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from legoloop.core.variation import LONGEST_LABEL, Variation

VALUES = st.dictionaries(st.text(min_size=1), st.one_of(st.text(), st.floats(), st.integers()))


@given(VALUES)
def test_the_label_is_a_line_and_the_name_of_a_folder(values: dict[str, float | str]) -> None:
    variation = Variation(values)
    assert len(variation.label) <= LONGEST_LABEL
    assert variation.label.isprintable()
    assert "/" not in variation.folder
    assert variation.folder not in (".", "..")
    assert bool(variation.label) == bool(values)


def test_the_last_words_of_keys_stand_for_them_unless_they_are_the_same() -> None:
    assert Variation({"optimizer.lr": 0.1, "seed": 3}).label == "lr=0.1,seed=3"
    same = Variation({"a.first.lr": 1, "a.second.lr": 2})
    assert same.label == "a.first.lr=1,a.second.lr=2"
