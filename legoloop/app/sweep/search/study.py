"""The study of a search: the trials that Optuna asks for, and what is told of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import optuna
from hydra.utils import instantiate
from numpy.random import SeedSequence
from optuna import Study, Trial
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial, TrialState

from legoloop.app.sweep.search.objective import Objective
from legoloop.core.errors import ArgumentError, ConfigError
from legoloop.core.study_storage import open_storage, quiet_optuna

WHO = "hydra/sweeper=optuna"
SAMPLER, PRUNER, STORAGE, STUDY = (
    f"hydra.sweeper.{name}" for name in ("sampler", "pruner", "storage", "study")
)
CAUSE = "cause"
"""The attribute of a failed trial that says why."""
REMEMBERS_ITS_PLACE = ("GridSampler", "QMCSampler", "BruteForceSampler", "CmaEsSampler")
"""Samplers that keep in the storage how far they are; their seed is that of the whole study."""


@dataclass(frozen=True)
class StudySettings:
    """Where a study lies, and who chooses.

    Args:
        name: of the study.
        storage: the path of a journal file, or a URL.
        objective: what is optimised.
        sampler: the node of the sampler.
    """

    name: str
    storage: str
    objective: Objective
    sampler: Mapping[str, Any]


class SearchStudy:
    """The study of a search, in its storage.

    Args:
        settings: where it lies.
        is_new: whether there must be none yet, or one to go on with.

    Raises ConfigError for a storage that cannot be opened, and for a study that must not be there,
    or must be.
    """

    def __init__(self, settings: StudySettings, is_new: bool) -> None:
        self.settings = settings
        with quiet_optuna(WHO):
            storage = _opened(settings.storage)
            names = {each.study_name for each in storage.get_all_studies()}
            if is_new and settings.name in names:
                raise ConfigError(
                    f"is '{settings.name}', which {settings.storage} holds already, of another "
                    "sweep",
                    key=STUDY,
                    remedy="choose another name",
                )
            self.study: Study = optuna.create_study(
                study_name=settings.name,
                storage=storage,
                sampler=sampler_of_trial(settings.sampler, 0),
                pruner=optuna.pruners.NopPruner(),
                directions=settings.objective.directions,
                load_if_exists=True,
            )
            if self.study.directions != _directions(settings.objective):
                raise ConfigError(
                    f"is '{settings.name}', whose directions in {settings.storage} are others",
                    key=STUDY,
                    remedy="choose another name",
                )
            if settings.name not in names:
                self.study.set_metric_names(list(settings.objective.monitors))

    def trials(self, *states: TrialState) -> list[FrozenTrial]:
        """Those in one of these states, or all but those that wait to be asked for."""
        wanted = states or tuple(each for each in TrialState if each is not TrialState.WAITING)
        return self.study.get_trials(deepcopy=False, states=wanted)

    def has_completed(self) -> bool:
        """Whether one of the trials has."""
        return bool(self.trials(TrialState.COMPLETE))

    def ask(self, number: int) -> Trial:
        """A new trial, which will be the one of this number."""
        with quiet_optuna(WHO):
            if self.settings.sampler.get("seed") is not None:
                self.study.sampler = sampler_of_trial(self.settings.sampler, number)
            return self.study.ask()

    def running(self, trial: FrozenTrial) -> Trial:
        """A trial that was asked before, and keeps its values."""
        return Trial(self.study, trial._trial_id)

    def tell(self, number: int, values: Sequence[float] | None, state: TrialState) -> None:
        """How a trial ended; nothing if that was told already."""
        with quiet_optuna(WHO):
            self.study.tell(number, values, state, skip_if_finished=True)

    def fail(self, trial: Trial, cause: str) -> None:
        """A trial that failed, and why."""
        trial.set_user_attr(CAUSE, cause)
        self.tell(trial.number, None, TrialState.FAIL)


def sampler_of_trial(node: Mapping[str, Any], number: int) -> BaseSampler:
    """The sampler that chooses the values of a trial.

    With a seed, they are a function of the seed, the number and the trials that have ended: a
    search that is resumed does not begin with the same random values again.

    Raises ConfigError for a node that is no sampler.
    """
    kind = str(node.get("_target_", "")).rpartition(".")[2]
    seed = node.get("seed")
    if seed is not None and kind not in REMEMBERS_ITS_PLACE:
        node = {**node, "seed": int(SeedSequence([int(seed), number]).generate_state(1)[0])}
    made = made_of(node, SAMPLER)
    if not isinstance(made, BaseSampler):
        raise ConfigError(f"is a {type(made).__name__}, which is no sampler", key=SAMPLER)
    return made


def made_of(node: Mapping[str, Any], key: str) -> Any:
    """What a node of the sweeper's settings names; raises ConfigError if it cannot be made."""
    with quiet_optuna(WHO):
        try:
            return instantiate(dict(node), _convert_="all")
        except Exception as error:  # whatever a class of the user's raises
            cause = next(iter(str(error.__cause__ or error).splitlines()), repr(error))
            raise ConfigError(f"cannot be made ({cause})", key=key) from error


def _opened(storage: str) -> Any:
    try:
        return open_storage(storage)
    except ArgumentError as error:
        raise error.located(key=STORAGE) from None


def _directions(objective: Objective) -> list[optuna.study.StudyDirection]:
    return [optuna.study.StudyDirection[each.upper()] for each in objective.directions]
