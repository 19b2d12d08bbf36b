from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from legoloop.state.run_record import RunRecord, read_record


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
    RunRecord.claim(directory, seed=0, overrides=[])
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
