"""Ending a run of a search that is worse than the others at the same epoch."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any

from legoloop.core.monitor import Monitor, as_list
from legoloop.core.protocols import ScalarSource, TrainingProgress
from legoloop.core.ranks import current_ranks
from legoloop.core.study_storage import RUN_DIR, is_file, open_storage, quiet_optuna
from legoloop.loop.plugin import ShouldPrune

if TYPE_CHECKING:
    from optuna import Trial

log = logging.getLogger("legoloop")


class Pruning:
    """Tells an Optuna study a metric whenever that is new; the run ends as PRUNED if it says so.

    The number of a value is that of the epoch; of a metric that is evaluated within epochs, that of
    the step.

    ``hydra/sweeper=optuna`` adds it to its runs. It works in any process, on any machine that
    reaches the storage. A run that is no running trial of the study, such as one that is made
    again, goes on undisturbed, with a warning.

    Args:
        sources: one source of scalars or several.
        counter: counts the epochs and steps.
        metric: the name of the scalar, such as ``val/accuracy``.
        pruner: decides, such as an ``optuna.pruners.MedianPruner``.
        storage: the path of the study's journal file, or the URL of its database.
        study: the name of the study.
        run_dir: the directory of the run, by which its trial is found.

    Raises ArgumentError after an epoch if no source has the metric.

    >>> import tempfile
    >>> import optuna
    >>> from legoloop.training.counter import Counter
    >>> class Accuracy:
    ...     def scalars(self): return {"val/accuracy": 0.1}
    >>> journal = f"{tempfile.mkdtemp()}/study.journal"
    >>> study = optuna.create_study(
    ...     storage=open_storage(journal), study_name="mine", direction="maximize"
    ... )
    >>> study.ask().set_user_attr("run_dir", "/runs/0")
    >>> at_least_half = optuna.pruners.ThresholdPruner(lower=0.5)
    >>> pruning = Pruning(
    ...     Accuracy(), Counter(), "val/accuracy", at_least_half, journal, "mine", "/runs/0"
    ... )
    >>> pruning.train_start()
    >>> pruning.epoch_end().reason
    'val/accuracy is 0.1 after epoch 0: pruned by ThresholdPruner'
    """

    def __init__(
        self,
        sources: ScalarSource | Iterable[ScalarSource],
        counter: TrainingProgress,
        metric: str,
        pruner: Any,
        storage: str,
        study: str,
        run_dir: str,
    ) -> None:
        self.sources = as_list(sources)
        self.monitor = Monitor(self.sources, metric, "pruning")
        self.counter = counter
        self.metric = metric
        self.pruner = pruner
        self.storage = storage
        self.study = study
        self.run_dir = os.path.abspath(run_dir)
        self._trial: Trial | None = None

    def train_start(self) -> None:
        """Find the trial that this run is."""
        if not current_ranks().is_writer:
            return
        self._trial = self._found()
        if self._trial is None:
            log.warning(
                "this run is no running trial of the study '%s' in %s, and is not pruned",
                self.study,
                self.storage,
            )

    def within_epoch(self) -> ShouldPrune | None:
        return self._prune_if_worse(self.monitor.within_epoch())

    def epoch_end(self) -> ShouldPrune | None:
        return self._prune_if_worse(self.monitor.after_epoch())

    def _prune_if_worse(self, value: float | None) -> ShouldPrune | None:
        if value is None or not self._is_to_be_pruned(value):
            return None
        pruner = type(self.pruner).__name__
        when = f"step {self.counter.steps}" if self._by_steps else f"epoch {self.counter.epochs}"
        return ShouldPrune(f"{self.metric} is {value:.6g} after {when}: pruned by {pruner}")

    @property
    def _by_steps(self) -> bool:
        """Whether the metric is evaluated within epochs; then all of its values count by steps."""
        return self.monitor.is_by_steps

    def _is_to_be_pruned(self, value: float) -> bool:
        """The one place where a run's pruning is decided; of several ranks, the first asks."""
        ranks = current_ranks()
        is_to_be: bool = ranks.gather(ranks.is_writer and self._asked(value))[0]
        return is_to_be

    def _asked(self, value: float) -> bool:
        """Tell the study a value, and ask it."""
        trial = self._trial
        number = self.counter.steps if self._by_steps else self.counter.epochs
        if trial is None or not isfinite(value):
            return False
        with quiet_optuna("plugins.pruning"):
            reported = trial.storage.get_trial(trial._trial_id).intermediate_values
            # A run that was resumed may repeat some. The pruner judges by the last one reported.
            if number not in reported:
                trial.report(value, number)
            return number >= max(reported, default=number) and trial.should_prune()

    def _found(self) -> Trial | None:
        with quiet_optuna("plugins.pruning"):
            import optuna

            if is_file(self.storage) and not Path(self.storage).exists():
                return None
            try:
                study = optuna.load_study(
                    study_name=self.study,
                    storage=open_storage(self.storage),
                    sampler=optuna.samplers.RandomSampler(),
                    pruner=self.pruner,
                )
            except KeyError:
                return None
            running = (optuna.trial.TrialState.RUNNING,)
            for trial in study.get_trials(deepcopy=False, states=running):
                if trial.user_attrs.get(RUN_DIR) == self.run_dir:
                    return optuna.Trial(study, trial._trial_id)
        return None
