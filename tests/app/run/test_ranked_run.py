"""Runs of several ranks as commands: started, interrupted, killed, and joined by torchrun."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from legoloop.state.run_record import read_record
from tests.app.command import environment
from tests.contracts.test_ranks import assert_same_run
from tests.ranks import train_alone

pytestmark = pytest.mark.slow

RUN = ["loggers=[csv]", "model=mlp", "model.hidden=[16]", "eval_samples=100"]
HALVES = "plugins.descent.micro_batch_size=16"
LONG = [*RUN, "num_epochs=16", "scheduler=cosine"]


def command(here: Path, *words: str, start: tuple[str, ...] = ("-m", "legoloop.run")) -> list[str]:
    here.mkdir(exist_ok=True)
    return [sys.executable, *start, *words]


def started(here: Path, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command(here, *words),
        cwd=here,
        env=environment(OMP_NUM_THREADS="1"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def ranks_of(process: subprocess.Popen[str]) -> list[int]:
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    commands = {pid: Path(f"/proc/{pid}/cmdline").read_bytes() for pid in children}
    return [int(pid) for pid in children if b"rank_process" in commands[pid]]


def wait_for(file: Path) -> None:
    give_up = time.monotonic() + 120
    while not file.exists():
        assert time.monotonic() < give_up, f"{file} did not come"
        time.sleep(0.05)


def test_ended_from_outside_it_saves_and_goes_on(tmp_path: Path) -> None:
    """By a signal to one rank, then by the death of one; at last it runs to its end."""
    words = [*LONG, "ranks=2", "hydra.run.dir=two"]
    first = started(tmp_path, *words)
    wait_for(tmp_path / "two" / "metrics.csv")
    ranks = ranks_of(first)
    os.kill(ranks[1], signal.SIGTERM)
    _, err = first.communicate(timeout=30)
    assert (first.returncode, err) == (143, "interrupted\n")
    assert [pid for pid in ranks if Path(f"/proc/{pid}").exists()] == []
    record = read_record(tmp_path / "two")
    assert (record["status"], record["attempts"][0]["ranks"]) == ("INTERRUPTED", 2)

    second = started(tmp_path, *words)
    seen = (tmp_path / "two" / "metrics.csv").stat().st_mtime
    while (tmp_path / "two" / "metrics.csv").stat().st_mtime == seen or not ranks_of(second):
        assert second.poll() is None, second.communicate()
        time.sleep(0.05)
    os.kill(ranks_of(second)[1], signal.SIGKILL)
    _, err = second.communicate(timeout=30)
    assert (second.returncode, err) == (1, "error: rank 1 was killed by SIGKILL (out of memory?)\n")

    third = started(tmp_path, *words)
    out, err = third.communicate()
    assert (third.returncode, err) == (0, "")
    assert out.splitlines()[-1] == "completed: 16 epochs are done"
    train_alone(tmp_path / "one", [*LONG, HALVES])
    assert_same_run(tmp_path / "one", tmp_path / "two")


def test_torchrun_on_two_machines(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("localhost", 0))
        place = f"localhost:{free.getsockname()[1]}"
    words = [*RUN, "num_epochs=2", "hydra.run.dir=two"]
    torchrun = ("-m", "torch.distributed.run", "--nnodes=2", "--nproc-per-node=1")
    meet = ("--rdzv-backend=c10d", f"--rdzv-endpoint={place}", "-m", "legoloop.run")
    agents = [
        subprocess.Popen(
            command(tmp_path, *words, start=(*torchrun, *meet)),
            cwd=tmp_path,
            env=environment(OMP_NUM_THREADS="1"),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for _ in range(2)
    ]
    said = [agent.communicate(timeout=180)[0] for agent in agents]
    assert [agent.returncode for agent in agents] == [0, 0], said
    assert "".join(said).count("completed: 2 epochs are done") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["two"]
    train_alone(tmp_path / "one", [*RUN, "num_epochs=2", HALVES])
    assert_same_run(tmp_path / "one", tmp_path / "two")


@pytest.mark.long
def test_a_sweep_of_jobs_of_two_ranks(tmp_path: Path) -> None:
    sweep = [*RUN, "num_epochs=1", "ranks=2", "hydra.sweep.dir=sweep"]
    given = [*sweep, "-m", "hydra/launcher=processes", "optimizer.lr=1e-3,1e-2"]
    process = started(tmp_path, *given)
    out, err = process.communicate()
    assert (process.returncode, err) == (0, ""), out
    for number, rate in enumerate(("1e-3", "1e-2")):
        alone = tmp_path / rate
        train_alone(alone, [*RUN, "num_epochs=1", HALVES, f"optimizer.lr={rate}"])
        assert_same_run(alone, tmp_path / "sweep" / str(number))


def test_refusals(tmp_path: Path) -> None:
    for words, told in (
        (["ranks=33"], "ranks (command line): is 33, but a batch has 32 samples"),
        (["ranks=2", "device=cuda:1"], "device (command line): is 'cuda:1'"),
    ):
        ended = subprocess.run(
            command(tmp_path / "here", *RUN, *words),
            cwd=tmp_path / "here",
            env=environment(),
            capture_output=True,
            text=True,
        )
        assert (ended.returncode, ended.stdout) == (2, "")
        assert ended.stderr.startswith(f"error: {told}")
        assert list((tmp_path / "here").iterdir()) == []
