"""The study of a search: the trials that Optuna asks for, and what is told of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from hydra.utils import instantiate
from numpy.random import SeedSequence
from optuna import Study, Trial
from optuna.pruners import BasePruner, NopPruner
from optuna.samplers import BaseSampler
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState

from legoloop.app.sweep.search.objective import Objective
from legoloop.core.errors import ArgumentError, ConfigError
from legoloop.core.study_storage import file_of, open_storage, quiet_optuna

WHO = "hydra/sweeper=optuna"
SAMPLER, PRUNER, STORAGE, STUDY = (
    f"hydra.sweeper.{name}" for name in ("sampler", "pruner", "storage", "study")
)
CAUSE = "cause"
"""The attribute of a failed trial that says why."""
JOURNAL = "study.journal"
"""The file in the sweep's folder, unless another storage is named."""
STARTED = "sweep_started"
"""The attribute of a study that tells the studies of two sweeps apart."""
FINISHED = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)
WARMED_UP = ("MedianPruner", "PercentilePruner")
"""Pruners that compare a metric at an epoch with that of other trials."""
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
        pruner: the node of the pruner; None: nothing is pruned.
    """

    name: str
    storage: str
    objective: Objective
    sampler: Mapping[str, Any]
    pruner: Mapping[str, Any] | None


class SearchStudy:
    """The study of a search, in its storage.

    Args:
        settings: where it lies.
        started: when the sweep began, by which its study is known.

    Raises ConfigError for a storage that cannot be opened, and for a study of another sweep.
    """

    def __init__(self, settings: StudySettings, started: str) -> None:
        self.settings = settings
        with quiet_optuna(WHO):
            storage = _opened(settings.storage)
            is_known = _is_there(storage, settings, started)
            self.study: Study = optuna.create_study(
                study_name=settings.name,
                storage=storage,
                sampler=sampler_of_trial(settings.sampler, 0),
                pruner=pruner_of(settings.pruner),
                directions=settings.objective.directions,
                load_if_exists=True,
            )
            if not is_known:
                self.study.set_user_attr(STARTED, started)
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


def check_study(settings: StudySettings, started: str | None) -> None:
    """Look at a study before anything is created.

    Args:
        settings: where it lies.
        started: when the sweep that is to be resumed began; None: it is new.

    Raises ConfigError for a storage that cannot be opened, and for a study of another sweep.
    """
    file = file_of(settings.storage)
    if file is not None and not file.exists():
        if started is None and not _can_be_made(file):
            raise ConfigError(
                f"is {settings.storage}, whose folder does not exist", key=STORAGE, remedy="make it"
            )
        return
    with quiet_optuna(WHO):
        _is_there(_opened(settings.storage), settings, started)


def sampler_of_trial(node: Mapping[str, Any], number: int) -> BaseSampler:
    """The sampler that chooses the values of a trial.

    With a seed, they are a function of the seed, the number and the trials that have ended: a
    search that is resumed does not begin with the same random values again.

    Raises ConfigError for a node that is no sampler.
    """
    kind = str(node.get("_target_", "")).rpartition(".")[2]
    seed = node.get("seed")
    if kind == "TPESampler":  # Optuna 4 leaves it out
        node = {"constant_liar": True, **node}
    if seed is not None and kind not in REMEMBERS_ITS_PLACE:
        node = {**node, "seed": int(SeedSequence([int(seed), number]).generate_state(1)[0])}
    made = made_of(node, SAMPLER)
    if not isinstance(made, BaseSampler):
        raise ConfigError(f"is a {type(made).__name__}, which is no sampler", key=SAMPLER)
    return made


def pruner_of(node: Mapping[str, Any] | None) -> BasePruner:
    """The pruner that a node names; raises ConfigError for one that is none."""
    if node is None:
        return NopPruner()
    made = made_of(node, PRUNER)
    if not isinstance(made, BasePruner):
        raise ConfigError(f"is a {type(made).__name__}, which is no pruner", key=PRUNER)
    return made


def warmed_up(node: Mapping[str, Any], num_epochs: Any) -> dict[str, Any]:
    """The node of a pruner which, unless it says so itself, spares the first tenth of a run.

    What a metric is after the first epoch says little of what it will be.

    >>> warmed_up({"_target_": "optuna.pruners.MedianPruner"}, 80)["n_warmup_steps"]
    8
    """
    kind = str(node.get("_target_", "")).rpartition(".")[2]
    if kind not in WARMED_UP or not isinstance(num_epochs, int):
        return dict(node)
    return {"n_warmup_steps": num_epochs // 10, **node}


def made_of(node: Mapping[str, Any], key: str) -> Any:
    """What a node of the sweeper's settings names; raises ConfigError if it cannot be made."""
    with quiet_optuna(WHO):
        try:
            return instantiate(dict(node), _convert_="all")
        except Exception as error:  # whatever a class of the user's raises
            cause = next(iter(str(error.__cause__ or error).splitlines()), repr(error))
            raise ConfigError(f"cannot be made ({cause})", key=key) from error


def _can_be_made(file: Path) -> bool:
    """Whether its folder is there, or will be: that of the sweep."""
    return file.name == JOURNAL or file.parent.is_dir()


def _opened(storage: str) -> BaseStorage:
    try:
        return open_storage(storage)
    except ArgumentError as error:
        raise error.located(key=STORAGE) from None


def _is_there(storage: BaseStorage, settings: StudySettings, started: str | None) -> bool:
    """Whether the storage holds the study of this sweep; raises ConfigError for another's."""
    name, where = settings.name, settings.storage
    found = [each for each in storage.get_all_studies() if each.study_name == name]
    for study in found:
        began = study.user_attrs.get(STARTED)
        if began is None and not storage.get_all_trials(study._study_id, states=FINISHED):
            return False  # prepared by hand, maybe with trials that wait
        if began != started:
            raise ConfigError(
                f"is '{name}', and {where} holds a study of that name already, of another sweep",
                key=STUDY,
                remedy="choose another name",
            )
    return bool(found)
