"""Generated configurations, most of them wrong: each is refused in one short line, or could run."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from tests.app.wrong_configurations import overrides, refused


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LEGOLOOP_DATA", raising=False)


@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(overrides())
def test_whatever_is_given_is_refused_in_one_short_line_or_could_run(given: list[str]) -> None:
    refused(given)


def test_what_is_wrong_counts_as_refused() -> None:
    assert refused(["optimizer.lr=fast"])
    assert not refused(["optimizer.lr=0.5"])
