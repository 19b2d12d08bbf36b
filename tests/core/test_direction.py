from __future__ import annotations

from legoloop.core.direction import higher_is_better


def test_the_last_word_decides() -> None:
    assert higher_is_better("final/val/accuracy") is True
    assert higher_is_better("loss") is False


def test_what_nobody_knows_has_no_direction() -> None:
    assert higher_is_better("val/perplexity") is None
    assert higher_is_better("accuracy/seconds") is None
