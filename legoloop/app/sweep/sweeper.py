"""What the sweepers have in common: what Hydra gives them, and the overrides of a sweep."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext

if TYPE_CHECKING:
    from hydra.core.override_parser.types import Override
    from hydra.plugins.launcher import Launcher
    from hydra.types import TaskFunction
    from omegaconf import DictConfig

    from legoloop.app.sweep.job import JobTask


class JobsSweeper(Sweeper):
    """A sweeper of ours. ``params`` are overrides besides those of the command line."""

    def __init__(self, params: Mapping[str, str] | None = None) -> None:
        self.params = params or {}

    @abstractmethod
    def check(self) -> None:
        """Raises ConfigError for a wrong setting of the sweeper."""

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        """Take what Hydra gives, and make the launcher.

        Raises ConfigError for invalid settings of the sweeper or the launcher.
        """
        from hydra.core.plugins import Plugins

        from legoloop.app.hydra_bridge.caching_loader import CachingConfigLoader
        from legoloop.app.hydra_bridge.launcher_check import check_launcher

        self.check()
        check_launcher(config)
        self.config: DictConfig = config
        self.loader = CachingConfigLoader(hydra_context.config_loader)
        self.task = task_function
        self.context = HydraContext(self.loader, hydra_context.callbacks)
        self.launcher: Launcher = Plugins.instance().instantiate_launcher(
            hydra_context=self.context, task_function=task_function, config=config
        )

    def claims(self) -> AbstractContextManager[object]:
        """Inside, directories are leased if jobs run where a lock may say nothing."""
        from legoloop.app.sweep.launchers.jobs import JobsLauncher
        from legoloop.state.lease import leased

        is_on_cluster = isinstance(self.launcher, JobsLauncher) and self.launcher.is_on_cluster
        return leased() if is_on_cluster else nullcontext()

    def give(self, task: JobTask) -> None:
        """Let the launcher call this task."""
        self.launcher.setup(hydra_context=self.context, task_function=task, config=self.config)

    def all_overrides(self, arguments: Sequence[str]) -> list[str]:
        """Those of ``params`` and those of the command line."""
        return [*(f"{key}={value}" for key, value in self.params.items()), *arguments]

    def parsed(self, overrides: Sequence[str]) -> list[Override]:
        """The overrides as Hydra understands them, which knows the options of groups."""
        from hydra.core.override_parser.overrides_parser import OverridesParser

        parser = OverridesParser.create(config_loader=self.loader)
        return parser.parse_overrides(list(overrides))
