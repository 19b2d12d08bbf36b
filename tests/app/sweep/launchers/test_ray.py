from __future__ import annotations

from pathlib import Path

import pytest

from legoloop.state.run_record import read_record
from tests.app.sweep.launchers.sweeps import begun, ended, facts

RAY = ("hydra/launcher=ray", "hydra.launcher.init.num_cpus=2")


@pytest.mark.slow
def test_a_job_that_dies_is_one_failed_job(tmp_path: Path) -> None:
    pytest.importorskip("ray")
    how = ended(begun(tmp_path, *RAY, "do=fine,exit,done"))
    assert how.status != 0
    assert len({facts(tmp_path, job)["pid"] for job in range(3)}) == 3
    record = read_record(tmp_path / "sweep" / "1")
    assert record["status"] == "FAILED"
    assert record["cause"].startswith("WorkerCrashedError: ")
