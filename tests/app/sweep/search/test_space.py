"""What overrides say of a space, and what is made of the values that are chosen."""

from __future__ import annotations

from typing import Any

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import given
from hypothesis import strategies as st
from optuna import create_study
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.samplers import RandomSampler

from legoloop.app.hydra_bridge.overrides import parse_overrides
from legoloop.app.sweep.search.space import Space, distribution_of, text_of
from legoloop.core.errors import ConfigError

SAID: dict[str, BaseDistribution] = {
    "interval(0,1)": FloatDistribution(0, 1),
    "interval(1e-5,1e-1)": FloatDistribution(1e-5, 1e-1),
    "tag(log, interval(1e-5,1e-1))": FloatDistribution(1e-5, 1e-1, log=True),
    "int(interval(1,8))": IntDistribution(1, 8),
    "int(tag(log, interval(8,512)))": IntDistribution(8, 512, log=True),
    "range(4)": IntDistribution(0, 3),
    "range(1,10,3)": IntDistribution(1, 7, step=3),
    "range(9,0,-3)": IntDistribution(3, 9, step=3),
    "tag(log, range(1,9))": IntDistribution(1, 8, log=True),
    "range(0,1,0.25)": FloatDistribution(0, 0.75, step=0.25),
    "8,16": CategoricalDistribution(["8", "16"]),
    "choice([8,8],[16])": CategoricalDistribution(["[8,8]", "[16]"]),
    "choice(a,a,'b c')": CategoricalDistribution(["a", "b\\ c"]),
    "true,null": CategoricalDistribution(["True", "null"]),
}


@pytest.mark.parametrize(("text", "said"), SAID.items(), ids=SAID)
def test_hydras_words_are_a_space(text: str, said: BaseDistribution) -> None:
    (override,) = parse_overrides([f"key={text}"])
    assert distribution_of(override) == said


WRONG = {
    "interval(1,0)": "its end, 0, is below its start, 1",
    "tag(log,interval(0,1))": "its start, 0, must be above 0",
    "tag(log,range(0,4))": "its start, 0, must be above 0",
    "tag(log,range(1,9,2))": "its step must be 1",
    "tag(log,range(0.5,2,0.5))": "write an interval",
    "tag(log,choice(1,2))": "leave out the tag",
    "tag(q,interval(0,1))": "is tagged q",
    "range(0)": "has no values",
    "range(1,9,0)": "its step is 0",
    "shuffle(range(4))": "leave out shuffle",
}


@pytest.mark.parametrize(("text", "told"), WRONG.items(), ids=WRONG)
def test_what_is_no_space_is_refused_by_name(text: str, told: str) -> None:
    (override,) = parse_overrides([f"+key={text}"])
    with pytest.raises(ConfigError) as refused:
        distribution_of(override)
    assert told in str(refused.value)
    assert str(refused.value).startswith("+key: ")


def test_of_the_same_key_the_last_one_counts() -> None:
    given = ["a=1,2", "+b=interval(0,1)", "c=0", "a=3", "c=range(2)"]
    space = Space.of(parse_overrides(given))
    assert space.fixed == ["a=3"]
    assert list(space.distributions) == ["b", "c"]
    (first, second) = space.corners()
    assert (first, second) == (["+b=0.0", "c=0"], ["+b=1.0", "c=1"])


def test_every_choice_is_in_a_corner() -> None:
    space = Space.of(parse_overrides(["a=x,y,z", "b=interval(0,1)", "c=u,v"]))
    assert [corner[0] for corner in space.corners()] == ["a=x", "a=y", "a=z"]
    assert [corner[2] for corner in space.corners()] == ["c=u", "c=v", "c=u"]


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=5,
)


@given(values)
def test_a_value_is_read_back_as_it_was(value: Any) -> None:
    parser = OverridesParser.create()
    (override,) = parser.parse_overrides([f"key={text_of(value)}"])
    read = override.value()
    assert (type(read), repr(read)) == (type(value), repr(value))


@given(st.integers(0, 2**32 - 1))
def test_a_trial_that_was_asked_keeps_its_values(seed: int) -> None:
    space = Space.of(parse_overrides(["a=x,y", "b=tag(log,interval(1e-9,1))", "c=range(9)"]))
    study = create_study(sampler=RandomSampler(seed))
    trial = study.ask()
    chosen = space.varied(trial)
    again = type(trial)(study, trial._trial_id)
    assert space.varied(again) == chosen
    assert [override.value() for override in parse_overrides(chosen)] == [
        trial.params["a"],
        trial.params["b"],
        trial.params["c"],
    ]
