"""Each target that does harm is refused, in this process."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.app.composed import XOR, refusal
from tests.faults.hostile import TARGETS


@pytest.mark.parametrize("target", TARGETS)
def test_a_target_that_does_harm_is_refused_and_nothing_made(
    target: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    canary = tmp_path / "canary"
    told = refusal(*XOR, f"+plugins.harm={{_target_: {target}, _args_: ['{canary}']}}")
    assert told.startswith("plugins.harm")
    assert "could do harm" in told, told
    assert list(tmp_path.iterdir()) == []
