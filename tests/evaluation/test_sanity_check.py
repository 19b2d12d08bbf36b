"""A broken evaluation is found before the first step."""

from __future__ import annotations

from typing import Any

import pytest

import legoloop as ll
from tests.tiny import Tiny, accuracy, collected, tiny


def a_trial(parts: Tiny, **given: Any) -> ll.EvaluationSanityCheck:
    made = {"factory": collected, "metrics": accuracy, "required_keys": ["idx", "logits"], **given}
    return ll.EvaluationSanityCheck(parts.loops, parts.model, parts.feed, **made)


def before_the_first_step(**given: Any) -> Tiny:
    """The parts of a run that raises before its first step."""
    parts = tiny()
    with pytest.raises((ll.DataError, ZeroDivisionError)):
        parts.trained(a_trial(parts, **given))
    assert parts.counter.steps == 0
    return parts


def test_it_evaluates_a_few_samples_of_each_loop() -> None:
    parts, seen = tiny(), []
    parts.host(
        a_trial(parts, metrics=lambda arrays: seen.append(arrays) or {}, num_samples=6)
    ).run()
    assert [len(arrays["logits"]) for arrays in seen] == [6, 6]


def test_it_changes_nothing() -> None:
    parts = tiny()
    assert parts.trained(a_trial(parts)) == tiny().trained()


def test_metrics_that_raise() -> None:
    before_the_first_step(metrics=lambda arrays: {"half": 1 / 0})


def test_an_accumulator_of_what_is_not_there() -> None:
    before_the_first_step(factory=ll.CompositeFactory(logit=ll.NumpyAccumulator))


def test_a_column_to_predict_that_is_not_there() -> None:
    parts = tiny()
    with pytest.raises(ll.DataError, match="sanity check of 'train' gives no 'logit'"):
        parts.trained(a_trial(parts, required_keys=["logit"]))


def test_a_resumed_run_leaves_it_out() -> None:
    trial = a_trial(tiny(), required_keys=["logit"])
    trial.load_state_dict({"is_checked": True})
    trial.train_start()


def test_less_than_one_sample_is_refused() -> None:
    with pytest.raises(ll.ArgumentError, match="num_samples is 0"):
        a_trial(tiny(), num_samples=0)
