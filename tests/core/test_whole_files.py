from __future__ import annotations

import os

import pytest

from legoloop.core.whole_files import whole_file, whole_folder


def test_a_file_is_there_only_when_its_block_has_ended(tmp_path):
    final = tmp_path / "new" / "notes"
    with whole_file(final) as draft:
        draft.write_text("all")
        assert not final.exists()
        assert draft.parent == final.parent
    assert final.read_text() == "all"
    assert os.listdir(final.parent) == ["notes"]


def test_an_error_leaves_the_older_file_and_no_draft(tmp_path):
    (tmp_path / "notes").write_text("old")
    with pytest.raises(ZeroDivisionError), whole_file(tmp_path / "notes") as draft:
        draft.write_text("half") / 0
    assert (tmp_path / "notes").read_text() == "old"
    assert os.listdir(tmp_path) == ["notes"]


def test_a_newer_file_takes_the_place_of_the_older(tmp_path):
    for text in ("old", "new"):
        with whole_file(tmp_path / "notes") as draft:
            draft.write_text(text)
    assert (tmp_path / "notes").read_text() == "new"


def test_a_folder_is_there_only_when_its_block_has_ended(tmp_path):
    final = tmp_path / "new" / "100"
    with whole_folder(final) as draft:
        (draft / "inner").mkdir()
        (draft / "inner" / "state").write_text("all")
        assert not final.exists()
    assert (final / "inner" / "state").read_text() == "all"
    assert os.listdir(final.parent) == ["100"]


def test_an_error_leaves_the_older_folder_and_no_draft(tmp_path):
    (tmp_path / "100").mkdir()
    (tmp_path / "100" / "old").touch()
    with pytest.raises(ZeroDivisionError), whole_folder(tmp_path / "100") as draft:
        (draft / "new").write_text("half") / 0
    assert os.listdir(tmp_path) == ["100"]
    assert os.listdir(tmp_path / "100") == ["old"]


def test_a_newer_folder_takes_the_place_of_the_older(tmp_path):
    for name in ("old", "new"):
        with whole_folder(tmp_path / "100") as draft:
            (draft / name).touch()
    assert os.listdir(tmp_path / "100") == ["new"]


def test_the_draft_of_a_killed_process_is_in_nobodys_way(tmp_path):
    leaving = whole_folder(tmp_path / "100")
    (leaving.__enter__() / "half").touch()
    with whole_folder(tmp_path / "100") as draft:
        (draft / "whole").touch()
    assert os.listdir(tmp_path / "100") == ["whole"]
