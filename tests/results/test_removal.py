"""Runs are put aside and deleted, and nothing else is."""

from __future__ import annotations

from pathlib import Path

import pytest

from legoloop.core.errors import ArgumentError
from legoloop.results.places import read_all
from legoloop.results.reading import read_runs
from legoloop.results.removal import archive, bytes_in, delete
from legoloop.state.directory_lock import DirectoryLock
from tests.results.made_runs import made_run


def names(folder: Path) -> list[str]:
    return [run.name for run in read_all(folder).runs]


def test_what_is_put_aside_is_listed_where_it_is_named(tmp_path: Path) -> None:
    runs = [made_run(tmp_path / "sweep", name) for name in "012"]
    archive(runs[:2])
    assert names(tmp_path) == ["sweep/2"]
    assert names(tmp_path / "sweep" / "archive") == ["0", "1"]
    archive(runs[2:])
    with pytest.raises(ArgumentError, match=r"contains no run; .*/archive is searched if you"):
        read_runs(tmp_path / "sweep")


def test_a_run_of_that_name_is_a_run(tmp_path: Path) -> None:
    made_run(tmp_path, "archive")
    assert names(tmp_path) == ["archive"]


def test_what_is_deleted_is_gone_with_its_links_and_not_what_they_lead_to(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / "file").write_text("x" * 1000)
    run = made_run(tmp_path, "0")
    (run / "link").symlink_to(kept)
    (run / "weights").symlink_to(kept / "file")
    assert bytes_in(run) < 1000
    delete([run])
    assert not run.exists()
    assert (kept / "file").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]


@pytest.mark.parametrize("remove", [archive, delete])
def test_what_is_not_one_run_that_has_ended_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, remove: object
) -> None:
    assert callable(remove)
    fine = made_run(tmp_path, "fine")
    held = {name: made_run(tmp_path, name) for name in ("repository", "sweep", "nested", "damaged")}
    (held["repository"] / ".git").mkdir()
    (held["sweep"] / "sweep.json").touch()
    made_run(held["nested"] / "deep", "0")
    (held["damaged"] / "run.json").write_text("{")
    (tmp_path / "link").symlink_to(fine)
    (tmp_path / "empty").mkdir()
    going_on = DirectoryLock(made_run(tmp_path, "going on"), "run")
    refused = {
        "repository": "holds more than a run, a repository",
        "sweep": "holds more than a run, a sweep",
        "nested": "holds more than a run, another run",
        "damaged": "run.json cannot be read",
        "link": "is a link",
        "empty": "is no run directory",
        "gone": "is no run directory",
        "going on": "the run is going on",
    }
    before = sorted(tmp_path.rglob("*"))
    for name, why in refused.items():
        with pytest.raises(ArgumentError, match=why):
            remove([fine, tmp_path / name])
    monkeypatch.chdir(fine)
    with pytest.raises(ArgumentError, match="the current folder is in it"):
        remove([fine])
    assert sorted(tmp_path.rglob("*")) == before
    going_on.release()


def test_nothing_is_written_over(tmp_path: Path) -> None:
    made_run(tmp_path / "archive", "0")
    with pytest.raises(ArgumentError, match="archive/0 is there already"):
        archive([made_run(tmp_path, "1"), made_run(tmp_path, "0")])
    assert (tmp_path / "1" / "run.json").exists()
    (tmp_path / "linked").mkdir()
    (tmp_path / "linked" / "archive").symlink_to(tmp_path)
    with pytest.raises(ArgumentError, match="is no folder of runs"):
        archive([made_run(tmp_path / "linked", "7")])
