"""As much as goes together in one run: planned, trained, killed and resumed, the same bits.

What cannot be on at once, and where it is instead:

- a scheduler takes the place of another: ``warmup_cosine`` here, ``plateau`` there;
- ``precision=amp_fp16`` and its scaler there, ``amp_bf16`` here; a scaler looks at gradients
  itself, so that ``debug=anomaly``, which has the guard look at them, is refused beside one;
- a stream takes the place of another: a MixedStream here, the loop with workers there, and the
  RepeatedBatches of ``debug=overfit``, which does not end well with dropout and mixup, in the last
  test;
- a Turn takes the place of a descent, and so of what holds one: see tests/contracts/test_resume*;
- ``compile=true`` takes a compiler of C++, and minutes.
"""

from __future__ import annotations

import signal
import subprocess
from collections import Counter
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from tests import fork_server
from tests.app.command import environment
from tests.faults.outcomes import Outcome
from tests.packages import needs

PROJECT = Path(__file__).parent / "everything"
FILES = (
    *("weights", "weights.safetensors", "weights_best"),
    *("metrics.csv", "metrics.jsonl", "predicts.csv", "classes.csv", "probabilities.csv"),
    *("predictions.parquet", "confusion.csv", "worst_errors.csv", "worst_errors.png", "model.txt"),
)
STORE = "mlflow.store.tracking.sqlalchemy_store"
"""All of MLflow, which takes longer to import than most runs here take."""
OF_THE_CLOCK = ("state: mlflow", "state: time_limit")
"""The states that hold the name that MLflow gave the run, and seconds."""

EVERYTHING = (
    *("--config-dir", str(PROJECT / "conf"), "experiment=everything"),
    *("hydra.run.dir=run", "device=cpu"),
)
FP16 = EVERYTHING
BF16 = (
    *EVERYTHING,
    *("precision=amp_bf16", "scheduler=plateau", "data.loaders.default.num_workers=2"),
    *("~plugins.epoch.train_iterator", "plugins.model_weights.path=${run_dir}/weights.safetensors"),
)
MOMENTS = {
    FP16: ("call:20", "batch_start:5", "batch_end:9", "call:150", "epoch_end:1", "train_end:1"),
    BF16: ("batch_end:13", "epoch_start:1", "call:60", "epoch_end:2"),
}
OVERFIT = (
    *("data=xor", "model=mlp", "debug=overfit", "scheduler=none", "optimizer.lr=0.01"),
    *("loggers=[csv]", "plugins.checkpoints.every_steps=7", "hydra.run.dir=run", "device=cpu"),
    "+plugins.dies={_target_: everything.Dies, run_dir: '${run_dir}'}",
)

pytestmark = pytest.mark.slow
needs("mlflow", "pyarrow", "safetensors")


@dataclass(frozen=True)
class Run:
    """One run in a folder, in as many attempts as it takes, each a process of its own."""

    here: Path
    words: tuple[str, ...]

    @property
    def directory(self) -> Path:
        return self.here / "run"

    def attempt(self, *more: str, kill_at: str = "") -> subprocess.CompletedProcess[str]:
        place = {"KILL_AT": kill_at, "MLFLOW_DISABLE_TELEMETRY": "true", "OMP_NUM_THREADS": "1"}
        path = f"{environment()['PYTHONPATH']}:{PROJECT}:{Path(__file__).parents[2]}"
        words = ("-m", "legoloop.run", *self.words, *more)
        env = environment(PYTHONPATH=path, **place)
        return fork_server.run(words, cwd=self.here, env=env, imported=[STORE])

    def completes(self) -> None:
        done = self.attempt()
        assert done.returncode == 0, done.stderr

    def is_killed(self, at: str) -> None:
        killed = self.attempt(kill_at=at)
        assert killed.returncode == -signal.SIGKILL, f"{at}: {killed.returncode} {killed.stderr}"

    def digests(self) -> dict[str, str]:
        """The SHA-256 of each of the files, ``absent`` where there is none."""
        paths = {name: self.directory / name for name in FILES}
        return {
            name: sha256(path.read_bytes()).hexdigest() if path.exists() else "absent"
            for name, path in paths.items()
        }

    def outcome(self) -> Outcome:
        return Outcome.of(self.directory, consumed=self.here / "nothing")

    def reported(self) -> dict[tuple[str, int], float]:
        """What MLflow was told by the run that came to its end, each once."""
        from mlflow import MlflowClient

        client = MlflowClient(f"sqlite:///{self.here}/mlflow.db")
        runs = client.search_runs([client.get_experiment_by_name("legoloop").experiment_id])
        (ended,) = (run for run in runs if run.info.status == "FINISHED")
        histories = [
            client.get_metric_history(ended.info.run_id, tag) for tag in ended.data.metrics
        ]
        told = [((metric.key, metric.step), metric.value) for each in histories for metric in each]
        assert set(Counter(key for key, _ in told).values()) == {1}
        return dict(told)


@cache
def empty_store() -> bytes:
    """The database that MLflow makes, which takes it seconds."""
    from mlflow import MlflowClient

    with TemporaryDirectory() as folder:
        file = Path(folder, "mlflow.db")
        MlflowClient(f"sqlite:///{file}").search_experiments()
        return file.read_bytes()


def run_in(here: Path, words: tuple[str, ...]) -> Run:
    """One that does not have to make the database first."""
    (here / "mlflow.db").write_bytes(empty_store())
    return Run(here, words)


@pytest.fixture(
    scope="module",
    params=[FP16, pytest.param(BF16, marks=pytest.mark.long)],
    ids=["fp16", "bf16"],
)
def whole(request: Any, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run that nothing happens to."""
    run = run_in(tmp_path_factory.mktemp("whole"), request.param)
    run.completes()
    return run


def equal(run: Run, whole: Run) -> None:
    assert run.digests() == whole.digests()
    assert run.outcome().differs_from(whole.outcome(), ignoring=OF_THE_CLOCK) is None
    assert run.reported() == whole.reported()


def test_it_plans(tmp_path: Path) -> None:
    run = Run(tmp_path, EVERYTHING)
    planned = run.attempt("show=plan")
    assert planned.returncode == 0, planned.stderr
    assert "plugins.epoch.train_iterator  legoloop.MixedStream" in planned.stdout
    assert not run.directory.exists()


def test_the_run_that_is_compared_with_leaves_all_there_is(whole: Run) -> None:
    absent = {name for name, digest in whole.digests().items() if digest == "absent"}
    assert len(absent) == 1
    assert absent < {"weights", "weights.safetensors"}
    assert {"profile.txt", "trace.json.gz"} < {path.name for path in whole.directory.iterdir()}
    tags = {tag for tag, _ in whole.reported()}
    assert tags > {"loss/name", "gradient_norm", "lr/1", "final/val/accuracy", "more/loss"}


def test_killed_again_and_again(whole: Run, tmp_path: Path) -> None:
    run = run_in(tmp_path, whole.words)
    for moment in MOMENTS[whole.words]:
        run.is_killed(at=moment)

    run.completes()

    equal(run, whole)


@pytest.mark.parametrize(
    "words",
    [pytest.param((*EVERYTHING, "debug=limit"), marks=pytest.mark.long), OVERFIT],
    ids=["limit", "overfit"],
)
def test_killed_while_it_is_debugged(words: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "whole").mkdir()
    (tmp_path / "killed").mkdir()
    whole, killed = (run_in(tmp_path / name, words) for name in ("whole", "killed"))
    whole.completes()
    for moment in ("batch_end:23", "epoch_end:1", "train_end:1"):
        killed.is_killed(at=moment)

    killed.completes()

    assert killed.digests() == whole.digests()
    assert killed.outcome().differs_from(whole.outcome(), ignoring=OF_THE_CLOCK) is None
