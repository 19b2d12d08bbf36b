from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from legoloop.core.errors import DataError
from legoloop.results.page import samples
from legoloop.results.page.details import confusion_of, worst_errors_of
from legoloop.results.page.samples import packed_samples
from legoloop.results.reading import Run, read_runs
from tests.results.page.shown_runs import shown_sweep


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return read_runs(shown_sweep(tmp_path)).runs[0]


def test_a_confusion_matrix_is_read(run: Run) -> None:
    assert confusion_of(run) == {"names": ["cat", "dog"], "counts": [[7, 1], [2, 9]]}


def test_worst_errors_come_with_their_picture(run: Run) -> None:
    found = worst_errors_of(run)
    assert found is not None
    assert found["samples"] == [["17", "0", "1"], ["4", "1", "0"]]
    assert (found["columns"], found["lines"], found["width"], found["height"]) == (2, 1, 144, 86)
    assert found["picture"].startswith("data:image/")


def test_a_run_without_them_has_none(run: Run) -> None:
    for name in ("confusion.csv", "worst_errors.csv", "worst_errors.png"):
        (run.directory / name).unlink()
    assert confusion_of(run) is None
    assert worst_errors_of(run) is None


def test_a_file_outside_of_the_run_is_not_read(run: Run, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere.csv"
    elsewhere.write_text("target,secret\nsecret,1\n")
    (run.directory / "confusion.csv").unlink()
    (run.directory / "confusion.csv").symlink_to(elsewhere)
    assert confusion_of(run) is None


@pytest.mark.parametrize("text", ["", "target,a\n", "target,a\na,x\n", "target,a,b\na,1\nb,2\n"])
def test_a_damaged_confusion_matrix_is_one_sentence(run: Run, text: str) -> None:
    (run.directory / "confusion.csv").write_text(text)
    with pytest.raises(DataError, match=r"^confusion\.csv [^\n]+$"):
        confusion_of(run)


@pytest.mark.parametrize("text", ["", "idx,target,predicted\n", "idx\n1\n"])
def test_a_damaged_table_of_errors_is_one_sentence(run: Run, text: str) -> None:
    (run.directory / "worst_errors.csv").write_text(text)
    with pytest.raises(DataError, match=r"^worst_errors\.csv [^\n]+$"):
        worst_errors_of(run)


def test_a_picture_that_is_none_a_pipe_and_a_bomb_are_one_sentence(run: Run) -> None:
    path = run.directory / "worst_errors.png"
    path.write_bytes(b"<svg onload=alert(1)>")
    with pytest.raises(DataError, match=r"^worst_errors\.png [^\n]+$"):
        worst_errors_of(run)
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(DataError, match="is not a regular file"):
        worst_errors_of(run)
    path.unlink()
    Image.fromarray(np.zeros((4096, 4096), np.uint8)).save(path)
    with pytest.raises(DataError, match="pixels"):
        worst_errors_of(run)


def test_predictions_beyond_the_limits_are_left_out_and_it_is_said(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    text, left_out = packed_samples([run], max_bytes=10_000)
    assert text is not None
    assert left_out is None
    text, left_out = packed_samples([run], max_bytes=10)
    assert text is None
    assert "left out" in str(left_out)
    monkeypatch.setattr(samples, "MAX_BYTES", 10)
    assert "left out" in str(packed_samples([run], max_bytes=10_000)[1])
