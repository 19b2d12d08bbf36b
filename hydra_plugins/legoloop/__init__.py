"""The sweeper and the launchers of legoloop, where Hydra looks for plugins.

Hydra takes plugins whose module lies in ``hydra_plugins`` alone, and names them by it:
``hydra_plugins.legoloop.GridSweeper``. Hydra imports this module whenever it starts, in any
application, so it imports little.
"""

from __future__ import annotations

from legoloop.app.sweep import grid_sweeper
from legoloop.app.sweep.launchers import (
    joblib_launcher,
    process_launcher,
    ray_launcher,
    submitit_launcher,
)


class GridSweeper(grid_sweeper.GridSweeper):
    """``hydra/sweeper=legoloop``."""


class ProcessLauncher(process_launcher.ProcessLauncher):
    """``hydra/launcher=processes``."""


class JoblibLauncher(joblib_launcher.JoblibLauncher):
    """``hydra/launcher=joblib``."""


class LocalLauncher(submitit_launcher.LocalLauncher):
    """``hydra/launcher=slurm_local``."""


class SlurmLauncher(submitit_launcher.SlurmLauncher):
    """``hydra/launcher=slurm``."""


class RayLauncher(ray_launcher.RayLauncher):
    """``hydra/launcher=ray``."""
