"""Submitit's launchers as far as they need no Slurm; with one: ``test_slurm.py``."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from legoloop.app.hydra_bridge.launcher_check import check_launcher
from legoloop.core.errors import ConfigError
from legoloop.state.run_record import read_record
from tests.app.composed import config_of, hydra_at_work
from tests.app.sweep.launchers.sweeps import begun, ended, facts

LOCAL = "hydra/launcher=slurm_local"


@pytest.fixture(autouse=True)
def submitit() -> None:
    pytest.importorskip("submitit")


@pytest.mark.slow  # two processes that import
def test_here_a_job_that_dies_is_one_failed_job(tmp_path: Path) -> None:
    how = ended(begun(tmp_path, LOCAL, "do=exit,fine"))
    assert how.status != 0
    record = read_record(tmp_path / "sweep" / "0")
    assert record["status"] == "FAILED"
    assert re.fullmatch(r"died; see .*_log\.err", record["cause"])
    assert facts(tmp_path, 1)["SUBMITIT_EXECUTOR"] == "local"


# hydra#2231, hydra#951, submitit#1732: every task of a job runs the whole job
@pytest.mark.parametrize(
    ("option", "setting"),
    [("slurm", "tasks_per_node"), ("slurm_local", "tasks_per_node"), ("slurm_local", "nodes")],
)
def test_several_tasks_a_node_are_refused(option: str, setting: str) -> None:
    with hydra_at_work(), pytest.raises(ConfigError) as error:
        check_launcher(config_of(f"hydra/launcher={option}", f"hydra.launcher.{setting}=2"))
    assert str(error.value) == (
        f"hydra.launcher.{setting}: is 2, but each of the tasks would run the whole job; give 1"
    )


def test_a_launcher_gives_each_run_as_many_nodes_as_it_asks_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("legoloop.app.sweep.launchers.submitit_launcher.which", lambda name: name)

    def told(*overrides: str) -> str:
        with hydra_at_work(), pytest.raises(ConfigError) as error:
            check_launcher(config_of(*overrides))
        return str(error.value)

    with hydra_at_work():
        check_launcher(config_of("hydra/launcher=slurm", "ranks=4", "nodes=2"))
    assert told("hydra/launcher=slurm", "hydra.launcher.nodes=2") == (
        "hydra.launcher.nodes: is 2, but nodes is 1; give nodes=2"
    )
    for option in ("basic", "processes", "slurm_local"):
        assert told(f"hydra/launcher={option}", "ranks=4", "nodes=2") == (
            f"nodes: is 2, but hydra/launcher={option} gives each run one machine; take "
            "hydra/launcher=slurm or ray; or run it without -m, with torchrun"
        )


def test_without_slurm_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    module = "legoloop.app.sweep.launchers.submitit_launcher"
    monkeypatch.setattr(f"{module}.which", lambda name: None)
    with hydra_at_work(), pytest.raises(ConfigError, match="srun is not found"):
        check_launcher(config_of("hydra/launcher=slurm"))


@pytest.mark.parametrize("value", ["1", "maybe", "null"])
def test_whether_it_waits_is_yes_or_no(value: str) -> None:
    with hydra_at_work(), pytest.raises(ConfigError, match=r"^hydra\.launcher\.wait: is "):
        check_launcher(config_of("hydra/launcher=slurm", f"hydra.launcher.wait={value}"))
