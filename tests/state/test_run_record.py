from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from legoloop.core.errors import ConfigError
from legoloop.state.run_record import RunRecord, mark_failed_if_abandoned, read_record


def git(*words: str) -> bytes:
    identity = ("-c", "user.name=A", "-c", "user.email=a@example.org")
    return subprocess.run(["git", *identity, *words], check=True, capture_output=True).stdout


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A committed project of the user's, which is the current folder."""
    monkeypatch.chdir(tmp_path)
    git("init", "-q")
    (tmp_path / "notes.txt").write_bytes("über\n".encode("latin-1") * 3 + b"\n\n")
    (tmp_path / ".gitignore").write_text("runs\n")
    git("add", ".")
    git("commit", "-qm", "one")
    return tmp_path


def claimed(project: Path) -> Path:
    directory = project / "runs" / "one"
    RunRecord.start(directory, seed=0, overrides=[])
    return directory


def test_a_clean_project_has_its_commit_alone(project: Path) -> None:
    directory = claimed(project)
    commit = git("rev-parse", "HEAD").decode().strip()
    assert read_record(directory)["git"] == {"commit": commit, "dirty": False}
    assert not (directory / "git.diff").exists()


def test_what_differs_is_a_patch_that_git_takes_back(project: Path) -> None:
    before = (project / "notes.txt").read_bytes()
    (project / "notes.txt").write_bytes(before.replace(b"\xfc", b"\xe4", 1))
    directory = claimed(project)
    assert read_record(directory)["git"]["dirty"] is True
    git("apply", "-R", str(directory / "git.diff"))
    assert (project / "notes.txt").read_bytes() == before


def test_a_file_that_git_does_not_know_makes_it_dirty(project: Path) -> None:
    (project / "model.py").write_text("new\n")
    assert read_record(claimed(project))["git"]["dirty"] is True


def test_outside_a_project_there_is_no_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert read_record(claimed(tmp_path))["git"] is None


def test_a_finished_run_is_refused(tmp_path: Path) -> None:
    RunRecord.start(tmp_path, seed=0, overrides=[]).finish("COMPLETED")
    before = (tmp_path / "run.json").read_bytes()
    with pytest.raises(ConfigError) as error:
        RunRecord.start(tmp_path, seed=0, overrides=[], resume="auto")
    assert str(error.value).startswith(
        f"hydra.run.dir: {tmp_path} holds a run already (COMPLETED, started "
    )
    assert (tmp_path / "run.json").read_bytes() == before


@pytest.mark.parametrize("status", ["FAILED", "INTERRUPTED"])
def test_an_unfinished_run_is_resumed_if_that_is_wanted(tmp_path: Path, status: Any) -> None:
    RunRecord.start(tmp_path, seed=0, overrides=["a=1"]).finish(status, cause="odd")
    with pytest.raises(ConfigError, match=f"holds a run already .{status}"):
        RunRecord.start(tmp_path, seed=0, overrides=["a=1"], resume="never")
    record = RunRecord.start(tmp_path, seed=0, overrides=["a=1"], resume="auto")
    assert record.previous is not None
    assert record.previous["status"] == status
    record.begin_attempt()
    record.resumed_from(tmp_path / "checkpoints" / "7")
    record.finish("COMPLETED")
    facts = read_record(tmp_path)
    assert facts["status"] == "COMPLETED"
    assert "cause" not in facts
    assert facts["started"] == facts["attempts"][0]["started"]
    assert [(a["status"], a.get("resumed_from")) for a in facts["attempts"]] == [
        (status, None),
        ("COMPLETED", "checkpoints/7"),
    ]


def test_where_one_must_be_resumed_there_must_be_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="holds no run to resume"):
        RunRecord.start(tmp_path / "new", seed=0, overrides=[], resume="must")
    assert not (tmp_path / "new").exists()


def test_a_run_under_way_is_not_touched(tmp_path: Path) -> None:
    record = RunRecord.start(tmp_path, seed=0, overrides=[])
    with pytest.raises(ConfigError, match="is in use by a run"):
        RunRecord.start(tmp_path, seed=0, overrides=[], resume="auto")
    mark_failed_if_abandoned(tmp_path, "gone")
    assert read_record(tmp_path)["status"] == "RUNNING"
    record.release()
    mark_failed_if_abandoned(tmp_path, "gone")
    assert read_record(tmp_path)["cause"] == "gone"
    assert read_record(tmp_path)["attempts"][0]["status"] == "FAILED"


def test_one_that_died_before_its_record_gets_one(tmp_path: Path) -> None:
    mark_failed_if_abandoned(tmp_path / "0", "gone")
    assert not (tmp_path / "0").exists()
    mark_failed_if_abandoned(tmp_path / "0", "gone", overrides=["seed=1"])
    facts = read_record(tmp_path / "0")
    assert (facts["status"], facts["cause"], facts["overrides"]) == ("FAILED", "gone", ["seed=1"])


def test_a_record_that_cannot_be_read_is_not_written_over(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text("{")
    with pytest.raises(ConfigError, match=r"run.json cannot be read"):
        RunRecord.start(tmp_path, seed=0, overrides=[], resume="auto")
    assert (tmp_path / "run.json").read_text() == "{"
