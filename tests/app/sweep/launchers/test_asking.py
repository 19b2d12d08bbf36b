"""A launcher asks for a job when a slot is free: nothing waits for the slowest of a batch."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from omegaconf import OmegaConf

from legoloop.app.sweep.launchers import process_launcher
from legoloop.app.sweep.launchers.asking import AsksForJobs, batch_size_for
from legoloop.app.sweep.launchers.process_launcher import ProcessLauncher
from legoloop.core.errors import ConfigError


class Lasts:
    """A job's process that has ended when it was looked at so often."""

    def __init__(self, job: Any, start: Any, environment: Any) -> None:
        self.job = job
        self.left = 9 if job.number == 0 else 1

    def pass_on(self, signals: Any) -> None: ...

    def has_ended(self) -> bool:
        self.left -= 1
        return self.left <= 0

    def end(self) -> Any:
        return SimpleNamespace(status=None)


def test_a_slow_job_holds_up_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """facebookresearch/hydra#2257 #2461 #3091: all of a batch ended before the next one began."""
    monkeypatch.setattr(process_launcher, "JobProcess", Lasts)
    monkeypatch.setattr(process_launcher, "LOOK_EVERY", 0)
    launcher = ProcessLauncher(n_jobs=2)
    launcher.config = OmegaConf.create({})
    launcher.task = print
    told: list[str] = []

    def jobs() -> Iterator[Any]:
        for number in range(6):
            told.append(f"asks for {number}")
            yield SimpleNamespace(number=number)

    launcher.execute(jobs(), lambda number: told.append(f"{number} has ended"))
    assert told == [
        *("asks for 0", "asks for 1", "1 has ended", "asks for 2", "2 has ended"),
        *("asks for 3", "3 has ended", "asks for 4", "4 has ended", "asks for 5"),
        *("5 has ended", "0 has ended"),
    ]


def test_who_asks_and_who_takes_batches() -> None:
    class TakesBatches: ...

    assert isinstance(ProcessLauncher(), AsksForJobs)
    assert batch_size_for(ProcessLauncher(), None, "processes") is None
    assert batch_size_for(TakesBatches(), 3, "ray") == 3
    for launcher, given in ((TakesBatches(), None), (TakesBatches(), 0), (ProcessLauncher(), 2)):
        with pytest.raises(ConfigError, match="batch_size: is "):
            batch_size_for(launcher, given, "it")
