"""A sweeper that chooses the values of each job by what came of the jobs before it, with Optuna."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from legoloop.app.sweep.sweeper import JobsSweeper
from legoloop.core.errors import ConfigError, MissingExtraError
from legoloop.core.text import shown

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from legoloop.app.sweep.compose_jobs import JobComposer
    from legoloop.app.sweep.job import Job
    from legoloop.app.sweep.search.objective import Objective
    from legoloop.app.sweep.search.space import Space
    from legoloop.app.sweep.search.study import StudySettings
    from legoloop.loop.host import TrainingHost

SWEEPER = "hydra.sweeper"


class OptunaSweeper(JobsSweeper):
    """A search: each job is a trial of an Optuna study.

    All that can be checked ahead is, with jobs at the ends of the space, before anything is
    created. The same command goes on with the study.

    Args:
        monitor: the metric to optimise, or several.
        direction: ``max`` or ``min``, of each; None: as is known of the metric.
        n_trials: how many trials in all, whatever becomes of them.
        params: overrides besides those of the command line.
        suggest: the node of a function that is given a trial, to choose more.
        sampler: the node of the sampler.
        pruner: the node of the pruner; None: runs are not pruned.
        pruner_monitor: the metric by which they are; None: ``monitor`` without its ``final/``.
        storage: the path of a journal file, or a URL; None: a journal file in the sweep's folder.
        study: the name of the study; None: that of the sweep's folder.
        batch_size: how many jobs run at once, for launchers that do not ask for each.
    """

    def __init__(
        self,
        monitor: Any = None,
        direction: Any = None,
        n_trials: int = 20,
        params: Mapping[str, str] | None = None,
        suggest: Mapping[str, Any] | None = None,
        sampler: Mapping[str, Any] | None = None,
        pruner: Mapping[str, Any] | None = None,
        pruner_monitor: str | None = None,
        storage: str | None = None,
        study: str | None = None,
        batch_size: int | None = None,
    ) -> None:
        super().__init__(params)
        self.monitor = _plain(monitor)
        self.direction = _plain(direction)
        self.n_trials = n_trials
        self.suggest = _plain(suggest)
        self.sampler = _plain(sampler)
        self.pruner = _plain(pruner)
        self.pruner_monitor = pruner_monitor
        self.storage = storage
        self.study = study
        self.batch_size = batch_size

    def check(self) -> None:
        """Raises ConfigError for a wrong setting, MissingExtraError without Optuna."""
        if find_spec("optuna") is None:
            raise MissingExtraError.of("hydra/sweeper=optuna", "optuna", "optuna")
        n_trials = self.n_trials
        if not isinstance(n_trials, int) or isinstance(n_trials, bool) or n_trials < 1:
            raise ConfigError(
                f"is {shown(n_trials)}",
                key=f"{SWEEPER}.n_trials",
                remedy="give a whole number of at least 1",
            )
        for name in ("pruner_monitor", "storage", "study"):
            text = getattr(self, name)
            if text is not None and not (isinstance(text, str) and text):
                raise ConfigError(
                    f"is {shown(text)}", key=f"{SWEEPER}.{name}", remedy="give a text, or null"
                )
        for name in ("suggest", "sampler", "pruner"):
            node = getattr(self, name)
            if node is None and name != "sampler":
                continue
            if not isinstance(node, Mapping) or "_target_" not in node:
                raise ConfigError(
                    f"is {shown(node)}",
                    key=f"{SWEEPER}.{name}",
                    remedy="give a mapping with a _target_",
                )

    def sweep(self, arguments: list[str]) -> None:
        """Check what can be checked, lock the folder, run the trials that are left, sum up.

        Raises ConfigError for a mistake, SystemExit if no trial has completed or the search was
        stopped by one that failed.
        """
        from legoloop.app.sweep.compose_jobs import JobComposer
        from legoloop.app.sweep.job import JobTask
        from legoloop.app.sweep.launchers.asking import batch_size_for
        from legoloop.app.sweep.search.objective import Objective
        from legoloop.app.sweep.search.search import Search
        from legoloop.app.sweep.search.study import SearchStudy, check_study
        from legoloop.app.sweep.search.summary import summary
        from legoloop.app.sweep.sweep import Sweep
        from legoloop.state.run_record import one_git_state
        from legoloop.state.sweep_record import started_of

        choice = f"hydra/launcher={self.config.hydra.runtime.choices.get('hydra/launcher')}"
        batch_size = batch_size_for(self.launcher, self.batch_size, choice)
        objective = Objective.of(self.monitor, self.direction)
        settings = self._study_settings(objective)
        space = self._space(arguments)
        composer = JobComposer(self.config, self.loader, self._adding_pruning(settings))
        sample = self._checked_corners(composer, space, objective)
        task = JobTask(self.task, {})
        self.give(task)
        facts = self._facts(space, settings, sample)
        check_study(settings, started_of(composer.folder))
        with self.claims(), one_git_state(), Sweep.open(self.config, [], facts) as sweep:
            study = SearchStudy(settings, str(started_of(sweep.directory)))
            search = Search(
                study, space, objective, composer, self.n_trials, sweep.stops_at_failure
            )
            sweep.total, sweep.left = self.n_trials, search.left
            sweep.summed_up_further = lambda: summary(search)
            done = search.finished()
            if done:
                print(f"{done} of {self.n_trials} trials are over already")
            with sweep.shown_as_added(done) as show:

                def begin(job: Job) -> None:
                    task.add(job)
                    show(_watched(job, objective))

                sweep.launch_as_asked(self.launcher, search.jobs(begin), search.ended, batch_size)
            if search.left() or not study.has_completed():
                raise SystemExit(1)

    def _study_settings(self, objective: Objective) -> StudySettings:
        from legoloop.app.hydra_bridge.job_config import sweep_directory
        from legoloop.app.sweep.search.study import (
            JOURNAL,
            StudySettings,
            pruner_of,
            sampler_of_trial,
        )
        from legoloop.core.study_storage import absolute

        folder = sweep_directory(self.config)
        sampler_of_trial(self.sampler, 0)
        pruner_of(self.pruner)
        if self.pruner is not None and len(objective.monitors) > 1:
            raise ConfigError(
                f"prunes by one metric, and {SWEEPER}.monitor has {len(objective.monitors)}",
                key=f"{SWEEPER}.pruner",
                remedy="set it to null",
            )
        if self.pruner is None and self.pruner_monitor is not None:
            raise ConfigError(
                f"is {self.pruner_monitor}, but nothing is pruned",
                key=f"{SWEEPER}.pruner_monitor",
                remedy=f"leave it out, or set {SWEEPER}.pruner",
            )
        return StudySettings(
            self.study or folder.name,
            absolute(self.storage or str(folder / JOURNAL)),
            objective,
            self.sampler,
            self.pruner,
        )

    def _space(self, arguments: list[str]) -> Space:
        from hydra.errors import HydraException

        from legoloop.app.hydra_bridge.messages import as_config_error
        from legoloop.app.sweep.search.space import Space
        from legoloop.app.sweep.search.study import made_of

        overrides = self.all_overrides(arguments)
        suggest = None
        if self.suggest is not None:
            node = {"_partial_": True, **self.suggest}
            suggest = made_of(node, f"{SWEEPER}.suggest")
        try:
            return Space.of(self.parsed(overrides), suggest)
        except (HydraException, ValueError) as error:
            raise as_config_error(error, overrides=overrides) from None

    def _checked_corners(self, composer: JobComposer, space: Space, objective: Objective) -> Job:
        """The first of the jobs at the ends of the space, all of which are checked."""
        from legoloop.app.sweep.compose_jobs import with_progress
        from legoloop.app.sweep.search.objective import MONITOR, check_reported

        def look(host: TrainingHost) -> None:
            check_reported(objective.monitors, MONITOR, host)
            if self.pruner is not None:
                key = f"{SWEEPER}.pruner_monitor"
                check_reported([self._pruned_by()], key, host, after_each_epoch=True)

        corners = list(space.corners())
        jobs = [
            composer.checked(number, [*space.fixed, *varied], varied, look)
            for number, varied in enumerate(with_progress(corners, "checking the space"))
        ]
        if jobs[0].directory == jobs[1].directory:
            raise ConfigError(
                f"all jobs would write to {jobs[0].directory}; give each its own, as "
                "${hydra.job.num} does",
                key="hydra.sweep.subdir",
            )
        return jobs[0]

    def _pruned_by(self) -> str:
        from legoloop.app.sweep.search.objective import FINAL

        return self.pruner_monitor or str(self.monitor).removeprefix(FINAL)

    def _adding_pruning(self, settings: StudySettings) -> Any:
        """What adds the brick that prunes to what was composed for a job."""
        from omegaconf import open_dict

        from legoloop.app.sweep.search.study import warmed_up

        if self.pruner is None:
            return None
        node = {
            "_target_": "legoloop.Pruning",
            "_inject_": {"sources": "sources"},
            "metric": self._pruned_by(),
            "storage": settings.storage,
            "study": settings.name,
            "run_dir": "${run_dir}",
        }

        def add(composed: DictConfig) -> None:
            if "pruning" in composed.plugins:
                raise ConfigError(
                    "is added by hydra/sweeper=optuna",
                    key="plugins.pruning",
                    remedy=f"leave it out, and set {SWEEPER}.pruner",
                )
            pruner = warmed_up(self.pruner, composed.get("num_epochs"))
            with open_dict(composed):
                composed.plugins.pruning = {**node, "pruner": pruner}

        return add

    def _facts(self, space: Space, settings: StudySettings, sample: Job) -> dict[str, Any]:
        """What makes this search another one than others, as JSON."""
        from legoloop.state.sweep_record import digest_of

        objective = settings.objective
        return {
            "space": [*space.texts, *([f"suggest={self.suggest}"] if self.suggest else [])],
            "fixed": [text for text in space.fixed if not text.startswith("resume=")],
            "monitor": list(objective.monitors),
            "direction": objective.directions,
            "study": settings.name,
            "storage": settings.storage,
            "n_trials": self.n_trials,
            "configuration": digest_of(sample.blueprint.behaviour()),
        }


def _watched(job: Job, objective: Objective) -> Any:
    from legoloop.app.sweep.search.objective import FINAL
    from legoloop.app.sweep.watch import WatchedJob, short_names

    pairs = [text.lstrip("+").partition("=")[::2] for text in job.blueprint.varied]
    names = short_names([key for key, _ in pairs])
    label = ", ".join(f"{names[key]} {_short(value)}" for key, value in pairs)
    return WatchedJob(job, label, objective.monitors[0].removeprefix(FINAL))


def _short(value: str) -> str:
    try:
        return value if value.lstrip("-").isdecimal() else f"{float(value):.3g}"
    except ValueError:
        return value


def _plain(node: Any) -> Any:
    from omegaconf import OmegaConf

    return OmegaConf.to_container(node, resolve=True) if OmegaConf.is_config(node) else node
