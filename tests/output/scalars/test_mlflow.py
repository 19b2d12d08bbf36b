from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.util import find_spec
from math import isnan, nan
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import pytest

import legoloop as ll
from legoloop.core.variation import Variation
from legoloop.output.scalars import mlflow as module
from legoloop.state.checkpoints import read_checkpoint, write_checkpoint
from tests.tiny import accuracy, tiny
from tests.told import Told

needs_mlflow = pytest.mark.skipif(find_spec("mlflow") is None, reason="mlflow is not installed")


def test_names_the_extra_that_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "find_spec", lambda _: None)
    with pytest.raises(ll.ConfigError, match=r"pip install 'legoloop\[mlflow\]'"):
        ll.MlflowLogger(ll.Counter(), Told())


@pytest.fixture(scope="module", params=["file", pytest.param("http", marks=pytest.mark.long)])
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """Where runs are tracked: a database on SQLite, without a server and behind one."""
    folder = tmp_path_factory.mktemp("mlflow")
    if request.param == "file":
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(folder)  # artifacts lie in the working directory
            yield f"sqlite:///{folder}/runs.db"
        return
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "mlflow", "server", "--workers", "1"),
            *("--host", "127.0.0.1", "--port", str(port)),
            *("--backend-store-uri", f"sqlite:///{folder}/runs.db"),
            *("--artifacts-destination", str(folder / "artifacts")),
        ],
        cwd=folder,
        env={**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    uri = f"http://127.0.0.1:{port}"
    try:
        _wait_for(uri, process)
        yield uri
    finally:
        os.killpg(process.pid, 15)
        process.wait()


def _wait_for(uri: str, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + 120
    while time.monotonic() < until and process.poll() is None:
        try:
            with urlopen(f"{uri}/health"):
                return
        except URLError:
            time.sleep(0.2)
    raise AssertionError("the tracking server did not start")


def reported(logger: ll.MlflowLogger, step: int, **scalars: float) -> None:
    counter: Any = logger.counter
    counter.steps = step
    logger.sources[0].now = scalars  # type: ignore[attr-defined]
    logger.epoch_end()


def there(uri: str, run_id: str | None) -> dict[str, list[tuple[int, float]]]:
    from mlflow import MlflowClient

    client = MlflowClient(uri)
    return {
        tag: [(metric.step, metric.value) for metric in client.get_metric_history(run_id, tag)]
        for tag in client.get_run(run_id).data.metrics
    }


def ended(uri: str, run_id: str | None) -> str:
    from mlflow import MlflowClient

    status: str = MlflowClient(uri).get_run(run_id).info.status
    return status


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")


@needs_mlflow
@pytest.mark.slow
def test_a_run_is_there_with_its_numbers_settings_and_files(server: str, tmp_path: Path) -> None:
    from mlflow import MlflowClient

    parts = tiny(num_epochs=3)
    loops = parts.loops_acc()
    sources = [ll.TrainLoss(), ll.AccumulatorMetrics(loops, accuracy)]
    history = ll.History(parts.counter, sources)
    (tmp_path / "config.yaml").write_text("seed: 0\noptimizer: {lr: 0.1, betas: [0.9, 0.99]}\n")
    weights = ll.SaveModelWeights(parts.model, tmp_path / "weights")
    logger = ll.MlflowLogger(
        parts.counter,
        sources,
        server,
        experiment="tiny",
        run_name="first",
        params=tmp_path / "config.yaml",
        artifacts=[weights.path, tmp_path / "nowhere"],
    )

    parts.host(logger, history, loops, *sources, weights).run()

    expected: dict[str, list[tuple[int, float]]] = {}
    for step, scalars in history.rows.items():
        for tag, value in scalars.items():
            expected.setdefault(tag, []).append((step, value))
    assert there(server, logger.run_id) == expected
    assert ended(server, logger.run_id) == "FINISHED"
    client = MlflowClient(server)
    run = client.get_run(logger.run_id)
    assert run.info.run_name == "first"
    assert run.data.params == {
        "seed": "0", "optimizer.lr": "0.1", "optimizer.betas": "[0.9, 0.99]"
    }  # fmt: skip
    assert [file.path for file in client.list_artifacts(logger.run_id)] == ["weights"]
    assert client.get_experiment(run.info.experiment_id).name == "tiny"


@needs_mlflow
@pytest.mark.slow
def test_a_killed_run_goes_on_as_the_same_with_each_step_and_tag_once(
    server: str, tmp_path: Path
) -> None:
    first = ll.MlflowLogger(ll.Counter(), Told(), server)
    first.train_start()
    reported(first, 1, loss=0.5)
    write_checkpoint(tmp_path / "1", first.state_dict())
    reported(first, 2, loss=0.25)
    first.state_dict()  # sent, and then the process is killed
    second = ll.MlflowLogger(ll.Counter(), Told(), server)

    second.load_state_dict(read_checkpoint(tmp_path / "1"))
    second.train_start()
    reported(second, 1, loss=0.5)
    reported(second, 2, loss=0.25, late=1.0)
    reported(second, 3, loss=0.125)
    second.train_end()
    second.close()

    assert second.run_id == first.run_id
    assert there(server, first.run_id) == {
        "loss": [(1, 0.5), (2, 0.25), (3, 0.125)],
        "late": [(2, 1.0)],
    }
    assert ended(server, first.run_id) == "FINISHED"


@needs_mlflow
@pytest.mark.slow
def test_odd_tags_many_settings_and_what_is_no_number(server: str) -> None:
    from mlflow import MlflowClient

    params = {f"key_{number}": "x" * 9000 for number in range(150)}
    logger = ll.MlflowLogger(ll.Counter(), Told(), server, params=params)
    logger.train_start()
    reported(logger, 1, **{"val[red]/loss": nan})
    logger.close()

    ((tag, [(step, value)]),) = there(server, logger.run_id).items()
    assert (tag, step) == ("val_red_/loss", 1)
    assert isnan(value)
    told = MlflowClient(server).get_run(logger.run_id).data.params
    assert told.keys() == params.keys()
    assert ended(server, logger.run_id) == "KILLED"


@needs_mlflow
@pytest.mark.slow
def test_a_server_that_does_not_answer_is_told_in_a_line() -> None:
    logger = ll.MlflowLogger(ll.Counter(), Told(), "http://127.0.0.1:9")
    with pytest.raises(
        ll.DataError, match=r"MLflow \(http://127.0.0.1:9\) did not accept the run \("
    ):
        logger.train_start()
    logger.close()


@pytest.mark.slow
@needs_mlflow
def test_one_that_is_gone_is_not_asked_again_at_the_end(tmp_path: Path) -> None:
    from mlflow.exceptions import MlflowException

    asked = []

    class Gone:
        def log_batch(self, run_id: str, **told: Any) -> None:
            asked.append(run_id)
            raise MlflowException("max retries exceeded")

    logger = ll.MlflowLogger(ll.Counter(), Told(a=0.5), f"sqlite:///{tmp_path}/runs.db")
    logger.train_start()
    logger._connection.client = Gone()
    with pytest.raises(ll.DataError, match="did not accept the run"):
        logger.epoch_end()
    logger.close()
    assert asked == [logger.run_id]


@needs_mlflow
@pytest.mark.slow
def test_a_branch_is_a_run_of_its_own(server: str, tmp_path: Path) -> None:
    first = ll.MlflowLogger(ll.Counter(), Told(), server, run_dir="a")
    first.train_start()
    reported(first, 1, loss=0.5)
    write_checkpoint(tmp_path / "1", first.state_dict())
    reported(first, 2, loss=0.25)
    first.train_end()
    first.close()
    branch = ll.MlflowLogger(ll.Counter(), Told(), server, run_dir="b")
    branch.load_state_dict(read_checkpoint(tmp_path / "1"))
    branch.train_start()
    reported(branch, 2, loss=0.125)
    branch.close()

    assert there(server, first.run_id) == {"loss": [(1, 0.5), (2, 0.25)]}
    assert there(server, branch.run_id) == {"loss": [(1, 0.5), (2, 0.125)]}
    assert (ended(server, first.run_id), ended(server, branch.run_id)) == ("FINISHED", "KILLED")


@needs_mlflow
@pytest.mark.slow
def test_a_run_is_found_by_its_tags_group_and_notes(server: str) -> None:
    from mlflow import MlflowClient

    job = Variation({"optimizer.lr": 0.1}, Path("/sweeps/lr"))
    told: Any = {"tags": ["mine"], "notes": "a note", "run_dir": "/sweeps/lr/3", "variation": job}
    logger = ll.MlflowLogger(ll.Counter(), Told(), server, **told)
    logger.train_start()
    logger.close()

    run = MlflowClient(server).get_run(logger.run_id)
    assert run.info.run_name == "3 lr=0.1"
    assert {key: run.data.tags[key] for key in ("mine", "group", "mlflow.note.content")} == {
        "mine": "true", "group": "sweeps/lr", "mlflow.note.content": "a note"
    }  # fmt: skip
