"""What a search chooses from: overrides with several values, in the words of Hydra's sweeps."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any

from hydra.core.override_parser.types import IntervalSweep, Override, RangeSweep
from hydra.errors import HydraException
from optuna import Study, Trial, create_study
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial

from legoloop.app.hydra_bridge.overrides import quote_override
from legoloop.core.errors import ConfigError
from legoloop.core.study_storage import quiet_optuna

LOG = "log"
"""The one tag that has a meaning: the values are spread evenly over their orders of magnitude."""
SUGGEST = "hydra.sweeper.suggest"

Suggest = Callable[[Trial], Mapping[str, Any] | None]
"""Asks a trial for more values, whose names are keys, unless it returns values by key itself."""


@dataclass(frozen=True)
class Space:
    """What a search chooses from.

    Args:
        fixed: the overrides that all jobs have.
        distributions: of each key that is searched, by its name.
        keys: the same keys as they are overridden, such as ``+model.dropout``.
        texts: how each was given.
        suggest: chooses more, such as keys that only some choices have.
    """

    fixed: Sequence[str]
    distributions: Mapping[str, BaseDistribution]
    keys: Mapping[str, str]
    texts: Sequence[str]
    suggest: Suggest | None = None

    @classmethod
    def of(cls, overrides: Sequence[Override], suggest: Suggest | None = None) -> Space:
        """The space of parsed overrides; of those with the same key the last one counts.

        Raises ConfigError for a value that is no space, and if there is nothing to choose.
        """
        last = {each.get_key_element(): each for each in overrides}
        searched = {each.key_or_group: each for each in last.values() if each.is_sweep_override()}
        if not searched and suggest is None:
            raise ConfigError(
                "there is nothing to search: no key has several values; write, for instance, "
                "optimizer.lr=interval(1e-4,1e-1), model=mlp,simple_cnn or seed=range(3)"
            )
        return cls(
            [str(each.input_line) for each in last.values() if not each.is_sweep_override()],
            {name: distribution_of(each) for name, each in searched.items()},
            {name: each.get_key_element() for name, each in searched.items()},
            [str(each.input_line) for each in searched.values()],
            suggest,
        )

    def varied(self, trial: Trial) -> list[str]:
        """The overrides of a trial that not all jobs have; a trial that was asked keeps its values.

        Raises ConfigError for what the function of the user's raises or returns.
        """
        for name, distribution in self.distributions.items():
            _suggested(trial, name, distribution)
        further = self._further(trial)
        names = trial.params if further is None else self.distributions.keys() - further.keys()
        chosen = {name: value for name, value in trial.params.items() if name in names}
        return [
            *(f"{self.keys.get(name, name)}={self._text(name, chosen[name])}" for name in chosen),
            *(f"{key}={text_of(value)}" for key, value in (further or {}).items()),
        ]

    def corners(self) -> Iterator[list[str]]:
        """The varied overrides of jobs in which every choice, and the ends of all ranges, occur."""
        choices = [
            len(each.choices)
            for each in self.distributions.values()
            if isinstance(each, CategoricalDistribution)
        ]
        for number in range(max(2, *choices, 0)):
            with quiet_optuna(SUGGEST):
                yield self.varied(create_study(sampler=Corner(number)).ask())

    def _text(self, name: str, value: Any) -> str:
        # Choices of overrides are kept as the texts that they were given as.
        is_text = isinstance(self.distributions.get(name), CategoricalDistribution)
        return str(value) if is_text else text_of(value)

    def _further(self, trial: Trial) -> Mapping[str, Any] | None:
        if self.suggest is None:
            return None
        try:
            further = self.suggest(trial)
        except Exception as error:
            raise ConfigError(f"raises {error!r}", key=SUGGEST) from error
        if not isinstance(further, Mapping | None):
            raise ConfigError(
                f"returns a {type(further).__name__}",
                key=SUGGEST,
                remedy="let it return nothing, or a mapping of keys to values",
            )
        return further


class Corner(BaseSampler):
    """Chooses the first of all choices, the second, …; of ranges the ends, in turn."""

    def __init__(self, number: int) -> None:
        self._number = number

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """Nothing is chosen by other values."""
        return {}

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Nothing."""
        return {}

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """The value of this corner."""
        if isinstance(param_distribution, CategoricalDistribution):
            return param_distribution.choices[self._number % len(param_distribution.choices)]
        assert isinstance(param_distribution, IntDistribution | FloatDistribution)
        return param_distribution.high if self._number % 2 else param_distribution.low


def distribution_of(override: Override) -> BaseDistribution:
    """What an override with several values says, as Optuna has it.

    Raises ConfigError for what is no space: a tag that means nothing, ends that are none.

    >>> from legoloop.app.hydra_bridge.overrides import parse_overrides
    >>> (lr, hidden, layers) = parse_overrides(
    ...     ["lr=tag(log, interval(1e-4, 1e-1))", "hidden=8,16", "layers=range(1,4)"]
    ... )
    >>> distribution_of(lr)
    FloatDistribution(high=0.1, log=True, low=0.0001, step=None)
    >>> distribution_of(hidden)
    CategoricalDistribution(choices=('8', '16'))
    >>> distribution_of(layers)
    IntDistribution(high=3, log=False, low=1, step=1)
    """
    key = override.get_key_element()
    value = override.value()
    tags: set[str] = getattr(value, "tags", set())
    if unknown := sorted(tags - {LOG}):
        raise ConfigError(f"is tagged {', '.join(unknown)}", key=key, remedy="there is log alone")
    try:
        if isinstance(value, IntervalSweep):
            return _of_interval(value)
        if isinstance(value, RangeSweep):
            return _of_range(value)
        if tags:
            raise ValueError("choices have no order of magnitude; leave out the tag")
        choices = list(dict.fromkeys(override.sweep_string_iterator()))
        if not choices:
            raise ValueError("has no values")
        return CategoricalDistribution(choices)
    except (ValueError, TypeError, HydraException) as error:
        _, _, given = str(override.input_line).partition("=")
        raise ConfigError(f"is {given}: {error}", key=key) from None


def text_of(value: Any) -> str:
    """A value as it is written in an override.

    >>> text_of([1, 0.5, True, None, "a b", {"c": 1e-05}])
    "[1,0.5,true,null,'a b',{c:1e-05}]"
    """
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, str):
        return quote_override(value)
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{key}:{text_of(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, Sequence):
        return "[" + ",".join(map(text_of, value)) + "]"
    raise ConfigError(
        f"gives a {type(value).__name__}",
        key=SUGGEST,
        remedy="give numbers, texts, lists and mappings",
    )


def _of_interval(interval: IntervalSweep) -> BaseDistribution:
    low, high, log = interval.start, interval.end, LOG in interval.tags
    assert low is not None
    assert high is not None
    _check_ends(low, high, log)
    if isinstance(low, int) and isinstance(high, int):  # of int(interval(…))
        return IntDistribution(low, high, log)
    return FloatDistribution(low, high, log)


def _of_range(given: RangeSweep) -> BaseDistribution:
    log = LOG in given.tags
    if given.shuffle:
        raise ValueError("a search has an order of its own; leave out shuffle")
    start, stop, step = given.start, given.stop, given.step
    assert start is not None
    assert stop is not None
    if step == 0:
        raise ValueError("its step is 0")
    number = ceil((stop - start) / step)
    if number < 1:
        raise ValueError("has no values")
    if isinstance(start, int) and isinstance(stop, int) and isinstance(step, int):
        low, high = sorted((start, start + (number - 1) * step))
        _check_ends(low, high, log)
        if log and abs(step) != 1:
            raise ValueError("with the tag log, its step must be 1")
        return IntDistribution(low, high, log, abs(step))
    if log:
        raise ValueError("with the tag log, write an interval")
    *_, last = given.range()
    ends = float(start), float(last)
    return FloatDistribution(min(ends), max(ends), step=abs(float(step)))


def _check_ends(low: float, high: float, log: bool) -> None:
    if not low <= high:
        raise ValueError(f"its end, {high:g}, is below its start, {low:g}")
    if log and low <= 0:
        raise ValueError(f"with the tag log, its start, {low:g}, must be above 0")


def _suggested(trial: Trial, name: str, distribution: BaseDistribution) -> Any:
    if isinstance(distribution, CategoricalDistribution):
        return trial.suggest_categorical(name, distribution.choices)
    assert isinstance(distribution, IntDistribution | FloatDistribution)
    low, high, step, log = (
        distribution.low,
        distribution.high,
        distribution.step,
        distribution.log,
    )
    if isinstance(distribution, IntDistribution):
        return trial.suggest_int(name, int(low), int(high), step=int(step or 1), log=log)
    return trial.suggest_float(name, low, high, step=step, log=log)
