"""A run and a sweep on a real terminal, as its screen shows them."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bench.terminal import screen_of
from legoloop.results.reading import read_runs
from tests.app.command import environment

XOR = ("data=xor", "model=logistic", "epoch_size=64", "loggers=[csv,progress]")
MLP = (*XOR, "model=mlp", "eval_samples=64")
FAILS = "optimizer.lr=1e20,0.003"
"""With the first rate jobs of the MLP fail, with the second they complete."""
RUN = [sys.executable, "-m", "legoloop.run"]


def shown_by(
    here: Path, *arguments: str, columns: int = 80, lines: int = 40, on_change: Any = None
) -> tuple[int, list[str]]:
    """The exit status, and the lines that the screen has at the end, up to the last."""
    command = [*RUN, *arguments]
    status, screen = screen_of(command, columns, lines, here, environment(), on_change)
    text = [line.rstrip() for line in screen.display]
    while text and not text[-1]:
        text.pop()
    return status, text


@pytest.mark.slow
@pytest.mark.parametrize(
    "columns", [40, *(pytest.param(columns, marks=pytest.mark.long) for columns in (80, 130))]
)
def test_a_run_leaves_a_table_that_fits(columns: int, tmp_path: Path) -> None:
    run = (*XOR, "num_epochs=3", "hydra.run.dir=run")
    status, lines = shown_by(tmp_path, *run, columns=columns)
    assert status == 0
    assert lines[0] == "run directory: run"
    assert lines[1].startswith("not shown: ")
    header, *rows = lines[2:6]
    assert header.split()[0] == "epoch"
    assert [row.split()[0] for row in rows] == ["1/3", "2/3", "3/3"]
    assert max(map(len, lines)) <= columns
    titles = {end.end() for end in re.finditer(r"\S+", header)}
    numbers = {end.end() for row in rows for end in re.finditer(r"[\d./]+\d", row)}
    times = {len(header) - 2}  # "0.1 s" ends in its unit
    assert numbers <= titles | times
    assert lines[6:8] == ["", next(line for line in lines if line.startswith("final"))]
    assert lines[-1] == "completed: 3 epochs are done"


@pytest.mark.slow
@pytest.mark.parametrize("launcher", [pytest.param("basic", marks=pytest.mark.long), "processes"])
def test_a_sweep_shows_one_block_and_leaves_failures_and_table(
    launcher: str, tmp_path: Path
) -> None:
    blocks: list[list[str]] = []

    def look(screen: Any, process: Any) -> None:
        lines = [line.rstrip() for line in screen.display if line.strip()]
        if any(line.startswith(("0/4 ", "1/4 ", "2/4 ", "3/4 ")) for line in lines):
            blocks.append(lines)

    jobs = (FAILS, "seed=0,1", "num_epochs=15", f"hydra/launcher={launcher}")
    if launcher != "basic":
        jobs = (*jobs, "hydra.launcher.n_jobs=2")
    sweep = ("-m", *MLP, *jobs, "hydra.sweep.dir=sweep")
    status, lines = shown_by(tmp_path, *sweep, columns=100, on_change=look)

    assert status == 1
    assert blocks
    assert all(sum("/4 ·" in line for line in block) == 1 for block in blocks)
    assert any(re.match(r"  \d  lr \S+, seed \d", line) for block in blocks for line in block)
    assert any(re.search(r"· [12] failed", line) for block in blocks for line in block)
    failed = [line for line in lines if line.startswith("failed: job ")]
    assert len(failed) == 2
    assert not any("/4 ·" in line or "epoch" in line.split()[:1] for line in lines)
    assert "\n".join(lines).count("sweep directory: sweep") == 1
    for job in range(4):
        output = (tmp_path / "sweep" / str(job) / "output.log").read_text()
        assert output.startswith("run directory: sweep")
        assert "\x1b" not in output
        assert max(map(len, output.splitlines())) <= 200


@pytest.mark.slow
def test_an_interrupted_sweep_says_how_to_go_on_without_a_traceback(tmp_path: Path) -> None:
    hit: list[str] = []

    def interrupt(screen: Any, process: subprocess.Popen[bytes]) -> None:
        text = "\n".join(screen.display)
        if not hit and "starting" in text:  # the processes of the jobs are importing
            hit.append(text)
            process.send_signal(signal.SIGINT)

    jobs = ("seed=0,1,2", "num_epochs=2", "hydra/launcher=processes", "hydra.launcher.n_jobs=2")
    sweep = ("-m", *XOR, *jobs, "hydra.sweep.dir=a sweep")
    status, lines = shown_by(tmp_path, *sweep, columns=200, on_change=interrupt)
    text = "\n".join(lines)
    assert status == 130
    assert hit
    assert "Traceback" not in text
    assert "interrupted: 3 of 3 jobs are left; this goes on with them:" in lines
    again = lines[lines.index("interrupted: 3 of 3 jobs are left; this goes on with them:") + 1]
    outputs = [file.read_text() for file in tmp_path.rglob("output.log")]
    assert not any("Traceback" in output for output in outputs)

    done = subprocess.run(
        again.strip().replace("python", sys.executable, 1),
        shell=True,
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert all(run.is_completed for run in read_runs(tmp_path / "a sweep").runs)
    assert re.search(r"^3/3  job \d \(seed \d\) completed in .* val/accuracy ", done.stdout, re.M)


@pytest.mark.slow
def test_without_a_terminal_a_line_a_finished_job(tmp_path: Path) -> None:
    words = ["-m", *MLP, "num_epochs=1", "seed=0,1", FAILS]
    done = subprocess.run(
        [*RUN, *words, "hydra.sweep.dir=sweep"],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
    )
    states = [
        json.loads((tmp_path / "sweep" / str(job) / "run.json").read_text())["status"]
        for job in range(4)
    ]
    completed = re.findall(r"^\d/4  job (\d) \(.*\) completed in ", done.stdout, re.M)
    assert len(completed) == 2
    assert completed == [str(job) for job in range(4) if states[job] == "COMPLETED"]
    failed = re.findall(r"^error: job (\d) \(.*\): .*; see sweep/\1/output.log$", done.stderr, re.M)
    assert failed == [str(job) for job in range(4) if states[job] == "FAILED"]
    assert "\x1b" not in done.stdout + done.stderr
    assert not re.search(r"\bepoch\b", done.stdout)
