from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from legoloop.core.atomic_files import (
    atomic_directory,
    atomic_write,
    backups_in,
    remove_directory,
    remove_temporaries,
    start_writeback,
    written_together,
)
from legoloop.core.errors import DataError


def test_a_file_is_there_only_when_its_block_has_ended(tmp_path):
    final = tmp_path / "new" / "notes"
    with atomic_write(final) as temporary:
        temporary.write_text("all")
        assert not final.exists()
        assert temporary.parent == final.parent
    assert final.read_text() == "all"
    assert os.listdir(final.parent) == ["notes"]


def test_an_error_leaves_the_older_file_and_no_temporary(tmp_path):
    (tmp_path / "notes").write_text("old")
    with pytest.raises(ZeroDivisionError), atomic_write(tmp_path / "notes") as temporary:
        temporary.write_text("half") / 0
    assert (tmp_path / "notes").read_text() == "old"
    assert os.listdir(tmp_path) == ["notes"]


def test_a_newer_file_takes_the_place_of_the_older(tmp_path):
    for text in ("old", "new"):
        with atomic_write(tmp_path / "notes") as temporary:
            temporary.write_text(text)
    assert (tmp_path / "notes").read_text() == "new"


def test_a_folder_is_there_only_when_its_block_has_ended(tmp_path):
    final = tmp_path / "new" / "100"
    with atomic_directory(final) as temporary:
        (temporary / "inner").mkdir()
        (temporary / "inner" / "state").write_text("all")
        assert not final.exists()
    assert (final / "inner" / "state").read_text() == "all"
    assert os.listdir(final.parent) == ["100"]


def test_an_error_leaves_the_older_folder_and_no_temporary(tmp_path):
    (tmp_path / "100").mkdir()
    (tmp_path / "100" / "old").touch()
    with pytest.raises(ZeroDivisionError), atomic_directory(tmp_path / "100") as temporary:
        (temporary / "new").write_text("half") / 0
    assert os.listdir(tmp_path) == ["100"]
    assert os.listdir(tmp_path / "100") == ["old"]


def test_a_newer_folder_takes_the_place_of_the_older(tmp_path):
    for name in ("old", "new"):
        with atomic_directory(tmp_path / "100") as temporary:
            (temporary / name).touch()
    assert os.listdir(tmp_path / "100") == ["new"]


def test_the_temporary_of_a_killed_process_is_in_nobodys_way(tmp_path):
    leaving = atomic_directory(tmp_path / "100")
    (leaving.__enter__() / "half").touch()
    with atomic_directory(tmp_path / "100") as temporary:
        (temporary / "whole").touch()
    assert os.listdir(tmp_path / "100") == ["whole"]


def test_what_is_replaced_is_there_until_the_newer_one_is(tmp_path, monkeypatch):
    with atomic_directory(tmp_path / "100") as temporary:
        (temporary / "old").touch()
    seen = []

    def looking(source, target):
        seen.append(sorted(str(file.relative_to(tmp_path)) for file in tmp_path.glob("*/*")))
        return replace(source, target)

    replace = os.replace
    monkeypatch.setattr(os, "replace", looking)
    with atomic_directory(tmp_path / "100") as temporary:
        (temporary / "new").touch()

    name = f".100.{os.getpid()}.tmp"
    assert seen == [
        [f"{name}/new", "100/old"],
        [".100.0.bak/old", f"{name}/new"],
        [".100.0.bak/old", "100/new"],
    ]
    assert os.listdir(tmp_path) == ["100"]


def test_what_cannot_be_replaced_is_put_back(tmp_path, monkeypatch):
    (tmp_path / "100" / "old").mkdir(parents=True)
    replace = os.replace

    def refuses_temporaries(source, target):
        if str(source).endswith(".tmp"):
            raise OSError(5, "Input/output error")
        return replace(source, target)

    monkeypatch.setattr(os, "replace", refuses_temporaries)
    with pytest.raises(OSError, match="Input/output"), atomic_directory(tmp_path / "100"):
        pass
    assert os.listdir(tmp_path) == ["100"]
    assert os.listdir(tmp_path / "100") == ["old"]


def test_a_folder_backups_in_by_a_killed_process_goes_with_the_next_one(tmp_path):
    (tmp_path / ".100.0.bak").mkdir()
    (tmp_path / ".7.0.bak").mkdir()
    assert backups_in(tmp_path) == [tmp_path / ".100.0.bak", tmp_path / ".7.0.bak"]
    (tmp_path / "100").mkdir()
    with atomic_directory(tmp_path / "100"):
        pass
    assert sorted(os.listdir(tmp_path)) == [".7.0.bak", "100"]


@pytest.mark.parametrize(("name", "other"), [("1", "1.5"), ("a[b]", "ab"), ("*", "7")])
def test_only_what_was_backups_in_under_the_very_name_goes(tmp_path, name, other):
    for each in (name, other):
        (tmp_path / f".{each}.0.bak").mkdir()
    with atomic_directory(tmp_path / name):
        pass
    assert sorted(os.listdir(tmp_path)) == sorted([f".{other}.0.bak", name])


def test_what_the_disk_begins_with_stays_what_was_written(tmp_path):
    content = bytes(range(256)) * 64
    with (tmp_path / "state").open("wb", buffering=0) as file:
        for start in range(0, len(content), 5000):
            start_writeback(file, start, file.write(content[start : start + 5000]))
    assert (tmp_path / "state").read_bytes() == content


def test_what_cannot_be_begun_is_no_error():
    read, write = os.pipe()
    os.close(read)
    with open(write, "wb", buffering=0) as pipe:
        start_writeback(pipe, 0, 1)


def test_a_folder_is_never_half_removed_under_its_own_name(tmp_path, monkeypatch):
    (tmp_path / "100" / "inner").mkdir(parents=True)
    (tmp_path / f".100.{os.getpid()}.tmp").mkdir()  # of a process that had this number
    rmdir = os.rmdir

    def looking(*args, **given):
        assert not (tmp_path / "100").exists() or (tmp_path / "100" / "inner").exists()
        return rmdir(*args, **given)

    monkeypatch.setattr(os, "rmdir", looking)
    remove_directory(tmp_path / "100")
    assert os.listdir(tmp_path) == []


def test_only_drafts_are_removed_and_no_link_is_followed(tmp_path):
    (tmp_path / "elsewhere" / "precious").mkdir(parents=True)
    kept = tmp_path / "kept"
    (kept / ".1.4711.tmp" / "half").mkdir(parents=True)
    (kept / ".notes.4711.tmp").touch()
    (kept / ".2.4711.tmp").symlink_to(tmp_path / "elsewhere")
    (kept / "1").mkdir()
    (kept / "temporary").touch()

    remove_temporaries(kept)

    assert sorted(os.listdir(kept)) == ["1", "temporary"]
    assert os.listdir(tmp_path / "elsewhere") == ["precious"]


def test_a_link_in_place_of_the_temporary_is_not_written_through(tmp_path):
    (tmp_path / "precious").write_text("mine")
    (tmp_path / f".notes.{os.getpid()}.tmp").symlink_to(tmp_path / "precious")
    with atomic_write(tmp_path / "notes") as temporary:
        temporary.write_text("new")
    assert (tmp_path / "precious").read_text() == "mine"
    assert (tmp_path / "notes").read_text() == "new"


@pytest.fixture
def disk(monkeypatch):
    """What is asked of the disk, in order."""
    asked = []
    sync, replace = os.fsync, os.replace

    def fsync(handle):
        asked.append(("fsync", Path(os.readlink(f"/proc/self/fd/{handle}"))))
        sync(handle)

    def rename(source, target, **given):
        asked.append(("rename", Path(target)))
        replace(source, target, **given)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "replace", rename)
    return asked


def test_files_that_are_written_together_share_two_passes(tmp_path, disk):
    with written_together():
        for name in ("a", "b", "inner/c", "a"):
            with atomic_write(tmp_path / name) as temporary:
                temporary.write_text(f"{name}, {len(disk)}")
            assert not (tmp_path / name).exists()
    calls = [call for call, _ in disk]
    assert calls == ["fsync"] * 3 + ["rename"] * 3 + ["fsync"] * 2
    assert {path for _, path in disk[-2:]} == {tmp_path, tmp_path / "inner"}
    assert (tmp_path / "a").read_text() == "a, 0"
    assert sorted(os.listdir(tmp_path)) == ["a", "b", "inner"]


def test_what_was_written_together_is_put_in_place_whatever_is_raised(tmp_path):
    def write():
        with atomic_write(tmp_path / "whole") as temporary:
            temporary.write_text("all")
        with atomic_write(tmp_path / "half") as temporary:
            temporary.write_text("half") / 0

    with pytest.raises(ZeroDivisionError), written_together():
        write()
    assert os.listdir(tmp_path) == ["whole"]
    with atomic_write(tmp_path / "later") as temporary:
        temporary.write_text("alone")
    assert (tmp_path / "later").exists()


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_file_that_the_disk_refuses_is_told_and_leaves_no_draft(tmp_path, monkeypatch, call):
    def full(*given, **named):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    (tmp_path / "a").write_text("old")
    monkeypatch.setattr(os, call, full)
    with (
        pytest.raises(DataError, match=r"/a cannot be written \(No space left on device, \d+ by"),
        written_together(),
        atomic_write(tmp_path / "a") as temporary,
    ):
        temporary.write_text("new")
    assert os.listdir(tmp_path) == ["a"]
    assert (tmp_path / "a").read_text() == "old"


def test_what_need_not_last_is_not_waited_for(tmp_path, disk):
    with atomic_write(tmp_path / "a", durable=False) as temporary:
        temporary.write_text("all")
    assert [call for call, _ in disk] == ["rename"]


def test_a_folder_is_on_the_disk_before_it_has_its_name(tmp_path, disk):
    with atomic_directory(tmp_path / "7") as temporary:
        for name in ("state", "manifest"):
            (temporary / name).write_text(name)
    draft = temporary
    assert {path for _, path in disk[:3]} == {draft, draft / "state", draft / "manifest"}
    assert disk[3:] == [("rename", tmp_path / "7"), ("fsync", tmp_path)]
