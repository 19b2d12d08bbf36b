"""The names of what lies in the directory of a run or a sweep, each of them once.

Names that a configuration gives to a writer (``${run_dir}/metrics.csv``) stand here too as far as
some module looks for the file by that name.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Final, Literal

Kind = Literal["run", "sweep"]

RUN_RECORD: Final = "run.json"
"""Status, times, seed, versions: ``state.run_record`` writes it; ``app``, ``results`` read it."""

GIT_DIFF: Final = "git.diff"
"""What differs from the commit: ``state.run_record`` writes it, ``results`` reads it."""

CONFIG: Final = "config.yaml"
"""The resolved configuration: ``app.run`` writes it; ``app``, ``results`` read it."""

PLAN: Final = "plan.txt"
"""The plugins in their order: ``app.run`` writes it, for people alone."""

LOG: Final = "run.log"
"""What was logged: Hydra and ``app.compose`` write it, for people alone."""

OUTPUT: Final = "output.log"
"""What a job of a sweep printed: ``app.sweep`` writes it, and reads why a job did not begin."""

METRICS: Final = "metrics.csv"
"""A row a report: ``output.scalars`` writes it, ``results`` reads it."""

PREDICTIONS: Final = "predicts.csv"
"""A row a sample: ``output.predictions`` writes it, ``results`` reads it."""

TARGETS: Final = "targets.csv"
"""What each of these samples should be: ``output.predictions`` writes it, ``results`` reads it."""

WEIGHTS: Final = "weights"
"""The weights of the model: ``output.weights`` writes it, ``app`` reads it."""

BEST_WEIGHTS: Final = "weights_best"
"""Those of the best epoch: ``output.weights`` writes it, ``app`` reads it."""

CHECKPOINTS: Final = "checkpoints"
"""A folder with a folder a step in it: ``state.checkpointer`` writes it, ``app.run`` reads it."""

CHECKPOINT_STATE: Final = "state.pt"
"""The host's state, in a checkpoint: ``state.checkpoints`` writes and reads it."""

CHECKPOINT_MANIFEST: Final = "manifest.json"
"""Sizes and digests, in a checkpoint: ``state.manifest`` writes and reads it."""

TENSORBOARD_LOGS: Final = "logs"
"""TensorBoard's event files: ``output.scalars`` writes them, TensorBoard reads them."""

PROFILE: Final = "profile.txt"
"""Where the time of a step goes: ``output.profiling`` writes it, for people alone."""

TRACE: Final = "trace.json.gz"
"""The profiler's trace: ``output.profiling`` writes it, Perfetto reads it."""

ATTEMPTS: Final = "attempts"
"""A folder for what an earlier attempt left, in one by its number: ``app.run`` writes it."""

EVALUATIONS: Final = "evaluations"
"""A folder for each evaluation of this run: ``app.evaluate`` writes it, ``results`` reads it."""

EVALUATION_METRICS: Final = "metrics.json"
"""The metrics, in the folder of an evaluation: ``app.evaluate`` writes it, ``results`` reads it."""

HYDRA: Final = ".hydra"
"""What Hydra composed: Hydra writes it; ``app.hydra_bridge`` and ``results`` read it."""

SWEEP_RECORD: Final = "sweep.json"
"""The jobs of a sweep: ``state.sweep_record`` writes and reads it."""

SWEEP_CONFIG: Final = "multirun.yaml"
"""The configuration of a sweep: ``app.sweep`` writes it, for people alone."""

SWEEP_RESULTS: Final = "results.csv"
"""A row a job: ``app.sweep`` writes it, for people alone."""

SWEEP_PAGE: Final = "results.html"
"""Curves and tables of all jobs: ``app.sweep`` writes it, for people alone."""


def lock_name(kind: Kind) -> str:
    """The file that the operating system locks for the process that has the directory.

    >>> lock_name("run")
    '.run.lock'
    """
    return f".{kind}.lock"


def lease_name(kind: Kind) -> str:
    """The file that tells other machines who has the directory.

    >>> lease_name("run")
    '.run.lease'
    """
    return f".{kind}.lease"


def evaluation_directory(run: Path) -> Path:
    """A new folder in a run directory, for what is evaluated now; it is not made.

    >>> evaluation_directory(Path("/runs/1")).parent
    PosixPath('/runs/1/evaluations')
    """
    return run / EVALUATIONS / f"{datetime.now():%Y-%m-%d_%H-%M-%S-%f}"
