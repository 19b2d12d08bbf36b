"""A whole sweep on real data: jobs that fail in every way there is, and the same command again."""

from __future__ import annotations

import csv
import re
from itertools import takewhile
from pathlib import Path

import pytest

from legoloop.state.run_record import read_record
from tests.app.command import BRICKS, Ended, environment, in_a_process

RATES = ("0.01", "0.02", "0.05")
SEEDS = ("0", "1")
JOBS = len(RATES) * len(SEEDS)
FAULTS = {
    1: ("0.01/1=bug", "ZeroDivisionError('divided by nothing')"),
    2: ("0.02/0=nan", "step 3: the loss is nan; samples idx "),
    3: ("0.02/1=exit", "SystemExit(3)"),
    4: ("0.05/0=_exit", "ended with exit status 9 without a word"),
    5: ("0.05/1=SIGKILL", "killed by SIGKILL (out of memory?)"),
}
FILES = {".hydra", "config.yaml", "plan.txt", "predicts.csv", "run.log", "targets.csv", "weights"}


def sweep(here: Path, faults: str = "") -> Ended:
    return in_a_process(
        here,
        *("-m", "data=digits", "model=mlp", "num_epochs=1", "epoch_size=128", "eval_samples=64"),
        "+plugins.faulty={_target_:mine.Faulty,name:'${optimizer.lr}/${seed}'}",
        *("loggers=[csv]", "hydra/launcher=processes", "hydra.launcher.n_jobs=2"),
        *(f"optimizer.lr={','.join(RATES)}", f"seed={','.join(SEEDS)}", "hydra.sweep.dir=sweep"),
        OMP_NUM_THREADS="1",
        PYTHONPATH=f"{environment()['PYTHONPATH']}:{here}",
        FAULTS=faults,
    )


@pytest.mark.slow
def test_six_jobs_of_which_five_fail_in_five_ways(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(BRICKS.read_text())
    folder = tmp_path / "sweep"

    ended = sweep(tmp_path, faults=" ".join(fault for fault, _ in FAULTS.values()))
    assert ended.status == 1
    assert "Traceback" not in ended.err
    for number in range(JOBS):
        record = read_record(folder / str(number))
        status = "FAILED" if number in FAULTS else "COMPLETED"
        assert record["status"] == status
        assert (folder / str(number) / "weights").exists() == (number not in FAULTS)
        assert record["hardware"]["threads"] == 1
        if number in FAULTS:
            assert record["cause"].startswith(FAULTS[number][1])
            told = f": {record['cause']}; see {folder.name}/{number}/output.log"
            assert re.search(rf"^error: job {number} \(.*{re.escape(told)}$", ended.err, re.M)
    assert {path.name for path in (folder / "0").iterdir()} >= FILES
    assert listed(folder) == [row_of(folder, number) for number in range(JOBS)]
    assert table(ended.out) == [(str(n), *row_of(folder, n)[1:4]) for n in range(JOBS)]

    begun = {number: (folder / f"{number}/run.json").read_bytes() for number in range(JOBS)}
    ended = sweep(tmp_path)
    assert (ended.status, ended.err) == (0, "")
    assert ended.out.startswith("1 of 6 jobs have completed already\n")
    again = {n for n in range(JOBS) if (folder / f"{n}/run.json").read_bytes() != begun[n]}
    assert again == FAULTS.keys()
    assert re.search(r"^the same everywhere: .*\bstatus COMPLETED\b", ended.out, re.M)
    assert [row[3] for row in listed(folder)] == ["COMPLETED"] * JOBS


def row_of(folder: Path, number: int) -> tuple[str, ...]:
    """The row that a run ought to have."""
    record = read_record(folder / str(number))
    final = record.get("final", {}).get("final/val/accuracy")
    return (
        str(number),
        SEEDS[number % 2],
        RATES[number // 2],
        record["status"],
        record.get("cause", ""),
        "" if final is None else repr(final),
    )


def listed(folder: Path) -> list[tuple[str, ...]]:
    with (folder / "results.csv").open() as file:
        columns = ("run", "seed", "optimizer.lr", "status", "cause", "final/val/accuracy")
        return [tuple(row.get(column, "") for column in columns) for row in csv.DictReader(file)]


def table(out: str) -> list[tuple[str, ...]]:
    """Run, seed, learning rate and status of each row of the table that is shown at the end."""
    rows = takewhile(str.strip, out[out.index("\nsweep directory: ") :].splitlines()[4:])
    return [(words[0], words[1], words[2], words[3]) for words in map(str.split, rows)]
