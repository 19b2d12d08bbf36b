"""Deterministic operations are asked for during the run alone."""

from __future__ import annotations

import os

import pytest
import torch

import legoloop as ll
from tests.tiny import tiny


class Looks:
    def batch(self, step: ll.Step) -> None:
        self.seen = settings()


def settings() -> tuple[bool, bool, bool, str | None]:
    return (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
        torch.backends.cudnn.benchmark,
        os.environ.get("CUBLAS_WORKSPACE_CONFIG"),
    )


@pytest.mark.parametrize("warn_only", [False, True])
def test_they_are_asked_for_during_the_run_alone(
    warn_only: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", True)
    before, looks = settings(), Looks()
    tiny().trained(ll.DeterministicAlgorithms(warn_only), looks)
    assert looks.seen == (True, warn_only, False, ":4096:8")
    assert settings() == before


def test_what_the_user_chose_for_cublas_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":16:8")
    before, looks = settings(), Looks()
    tiny().trained(ll.DeterministicAlgorithms(), looks)
    assert looks.seen[-1] == ":16:8"
    assert settings() == before
