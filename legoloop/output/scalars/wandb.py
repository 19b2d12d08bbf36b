"""Scalars for Weights & Biases."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from legoloop.core.errors import MissingExtraError
from legoloop.core.protocols import Scalars, ScalarSource, TrainingProgress
from legoloop.core.variation import Variation
from legoloop.output.scalars.remote_logger import AboutRun, RemoteLogger, Report


class WandbLogger(RemoteLogger):
    """Writes scalars to a run of Weights & Biases.

    A resumed run goes on with the same W&B run: online it is told the steps that it does not have,
    offline the folder of the earlier attempts is replaced by one that has each step once, for
    ``wandb sync``. W&B takes no report of a step that it has passed; the scalars of such a report,
    which a killed attempt may have begun, are in the run's summary.

    Args:
        counter: tells the step.
        sources: one or several plugins with ``scalars()``.
        project: name of the W&B project, which is created if it does not exist.
        entity: the user or team; None: that of the login.
        mode: ``online``, ``offline`` (files, for ``wandb sync``) or ``disabled``; None: as W&B is
            configured (``WANDB_MODE``), else online.
        folder: where W&B keeps its files, in a folder ``wandb``; None: as W&B is configured.
        run_name: None: the name of the run directory and what varied; without one, W&B's choice.
        group: of runs that belong together; None: the folder of the sweep, if there is one.
        tags: words to find the run by.
        notes: a text for people.
        params: the configuration of the run: a dict, or a YAML file that is there when the training
            starts.
        artifacts: files and folders to upload, each as an artifact, once the training has ended.
        settings: further settings of ``wandb.Settings``, such as ``{console: "off"}``.
        every_steps: also write after every so many steps; None: only at the end of epochs.
        run_dir: the run directory: a state that was saved in another begins a W&B run of its own.
        variation: what varied, for the name and the group.

    Raises:
        MissingExtraError: if the package wandb is not installed.
        DataError: if W&B does not accept the run, or two sources report the same tag.

    >>> from legoloop.training.counter import Counter
    >>> class Half:
    ...     def scalars(self): return {"half": 0.5}
    >>> logger = WandbLogger(Counter(), Half(), mode="offline")  # doctest: +SKIP
    """

    def __init__(
        self,
        counter: TrainingProgress,
        sources: ScalarSource | Iterable[ScalarSource],
        project: str = "legoloop",
        entity: str | None = None,
        mode: Literal["online", "offline", "disabled"] | None = None,
        folder: str | Path | None = None,
        run_name: str | None = None,
        group: str | None = None,
        tags: list[str] | tuple[str, ...] = (),
        notes: str | None = None,
        params: Mapping[str, Any] | str | Path | None = None,
        artifacts: Iterable[str | Path] = (),
        settings: Mapping[str, Any] | None = None,
        every_steps: int | None = None,
        run_dir: str | Path | None = None,
        variation: Variation | None = None,
    ) -> None:
        about = AboutRun.of(run_name, group, tags, notes, params, run_dir, variation)
        super().__init__(counter, sources, about, artifacts, every_steps)
        if find_spec("wandb") is None:
            raise MissingExtraError.of("WandbLogger", "wandb", "wandb")
        self.project = project
        self.entity = entity
        self.mode = mode
        self.folder = None if folder is None else Path(folder)
        self.settings = dict(settings or {})
        self._first_step = 0  # those before it were sent by an earlier attempt
        self._replaced: list[Path] = []

    @property
    def run(self) -> Any:
        """The ``wandb.Run``, once the training has started; None before."""
        return self._connection.run

    @property
    def place(self) -> str:
        return "Weights & Biases"

    def errors(self) -> tuple[type[Exception], ...]:
        import wandb

        return (wandb.Error,)

    def train_start(self) -> None:
        super().train_start()
        for folder in self._replaced:  # all that they have is in the new one
            shutil.rmtree(folder, ignore_errors=True)
        self._replaced = []

    def begin(self, run_id: str | None) -> str:
        import wandb

        self._connection.run = wandb.init(
            project=self.project,
            entity=self.entity,
            mode=self.mode,
            dir=self.folder,
            id=run_id,
            resume=None if run_id is None else "allow",
            reinit="create_new",
            name=self.about.name,
            group=self.about.group,
            tags=self.about.tags,
            notes=self.about.notes,
            config=dict(self.about.read_params()),
            settings=wandb.Settings(**self.settings),
        )
        self._first_step = self.run.step if self.run.resumed else 0
        if run_id is not None and self.run.offline:
            self._replace_earlier_attempts(Path(self.run.sync_dir))
        name: str = self.run.id
        return name

    def send(self, reports: Sequence[Report]) -> None:
        late: Scalars = {}
        for step, _, scalars in reports:
            if step < self._first_step:
                late.update(scalars)
            else:
                self.run.log(scalars, step=step)
        if late:
            self.run.summary.update(late)

    def upload(self, artifact: Path) -> None:
        self.run.log_artifact(str(artifact), name=f"{artifact.name}-{self.run_id}", type="output")

    def end(self, has_completed: bool) -> None:
        self.run.finish(exit_code=0 if has_completed else 1)

    def _replace_earlier_attempts(self, folder: Path) -> None:
        """Send all reports into the new folder: the client appends to none that is there."""
        of_this_run = folder.parent.glob(f"offline-run-*-{self.run.id}*")
        self._replaced = [each for each in of_this_run if each != folder]
        self._sent = 0
