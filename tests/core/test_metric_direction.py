from __future__ import annotations

from legoloop.core.metric_direction import higher_is_better, is_best


def test_the_last_word_decides() -> None:
    assert higher_is_better("final/val/accuracy") is True
    assert higher_is_better("loss") is False


def test_what_nobody_knows_has_no_direction() -> None:
    assert higher_is_better("val/perplexity") is None
    assert higher_is_better("accuracy/seconds") is None


def test_the_best_is_never_what_is_not_a_number() -> None:
    assert not is_best("val/auc", float("nan"), so_far=None)
    assert is_best("val/auc", 0.5, so_far=None)
    assert [is_best("val/loss", value, so_far=0.5) for value in (0.4, 0.5, 0.6)] == [
        True,
        False,
        False,
    ]
