from __future__ import annotations

import sys
from pathlib import Path

import pytest

from bench.page import main as measure
from bench.page import make_sweep, seconds_to_write
from legoloop.results.reading import read_runs
from tests.browser import chromium_path


def test_the_sweep_that_is_made_is_read_back_and_becomes_a_page(tmp_path: Path) -> None:
    make_sweep(tmp_path / "sweep", runs=13, points=4)
    found = read_runs(tmp_path / "sweep")
    assert found.problems == []
    assert {(run.value("optimizer.lr"), run.value("seed")) for run in found.runs} >= {(0.01, 0)}
    assert len((tmp_path / "sweep/3/metrics.csv").read_text().splitlines()) == 5
    assert seconds_to_write(tmp_path / "sweep", tmp_path / "page.html") > 0
    assert (tmp_path / "page.html").stat().st_size < 150_000


@pytest.mark.slow
@pytest.mark.skipif(chromium_path() is None, reason="there is no Chromium on this machine")
def test_the_table_has_a_row_a_size(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    monkeypatch.setattr(sys, "argv", ["bench.page", "--tiny"])
    measure()
    head, _, row = capsys.readouterr().out.splitlines()
    assert "another metric" in head
    assert row.startswith("| 3 x 5 | ")
