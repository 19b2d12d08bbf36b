"""Of a job of a sweep nothing stays in the process, however the job ended."""

from __future__ import annotations

import gc
import importlib
import logging
import os
import random
import signal
import sys
import threading
import warnings
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import polars
import psutil
import pytest
import torch
from dependency_injector import containers

from legoloop.app.run.signals import SIGNALS
from tests.app.command import SMALL, beside_bricks_of_a_user

UNTIDY = "+plugins.untidy={_target_:mine.Untidy,seed:${seed}}"
COUNTED = ("containers", "modules", "tensors", "parameters", "descriptors")
CENSUS = "+hydra.callbacks.census._target_=mine.Census"


@dataclass(frozen=True)
class Process:
    """What there is in this process, and how it is set."""

    containers: int
    modules: int
    tensors: int
    parameters: int
    threads: list[str]
    files: list[str]
    descriptors: int
    children: int
    handlers: list[str]
    python_rng: int
    numpy_rng: int
    torch_rng: int
    torch_threads: int
    torch_dtype: str
    directory: str
    filters: int
    signals: list[str]

    @classmethod
    def now(cls) -> Process:
        gc.collect()
        found = gc.get_objects()
        here = psutil.Process()
        root = logging.getLogger()
        return cls(
            containers=_number_of(found, containers.DynamicContainer),
            modules=_number_of(found, torch.nn.Module),
            tensors=_number_of(found, torch.Tensor),
            parameters=_number_of(found, torch.nn.Parameter),
            threads=sorted(thread.name for thread in threading.enumerate()),
            files=[
                file.path
                for file in here.open_files()
                if not file.path.endswith(("run.log", "output.log"))
            ],
            descriptors=here.num_fds(),
            children=len(here.children(recursive=True)),
            handlers=[type(handler).__name__ for handler in root.handlers],
            python_rng=hash(random.getstate()),
            numpy_rng=hash(np.random.get_state(legacy=True)[1].tobytes()),
            torch_rng=hash(torch.get_rng_state().numpy().tobytes()),
            torch_threads=torch.get_num_threads(),
            torch_dtype=str(torch.get_default_dtype()),
            directory=os.getcwd(),
            filters=len(warnings.filters),
            signals=[str(signal.getsignal(number)) for number in SIGNALS],
        )


def _number_of(found: list[object], kind: type) -> int:
    return sum(issubclass(type(thing), kind) for thing in found)


@pytest.mark.slow
def test_nothing_of_a_job_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    jobs = 6
    command = beside_bricks_of_a_user(tmp_path, monkeypatch, capfd)
    seen: list[Process] = []
    imported: list[int] = []

    def look() -> None:
        seen.append(Process.now())
        imported.append(len(sys.modules))

    mine = importlib.import_module("mine")
    mine.Census.look = staticmethod(look)
    monkeypatch.chdir(command.here)
    polars.LazyFrame({"a": [1]}).collect()  # its threads open what they keep, once for a process
    before = Process.now()
    ended = command("-m", *SMALL, UNTIDY, CENSUS, "hydra.sweep.dir=sweep", f"seed=range({jobs})")
    after = Process.now()
    assert ended.status == 1
    assert ended.err.count("error: ") == jobs // 3
    assert len(seen) == jobs
    for number, found in enumerate(seen):
        assert found == seen[0], f"of what was before job {number}"
    # Hydra closes a file that logs for pytest; what caches of other tests held may be gone.
    for name in COUNTED:
        assert getattr(after, name) <= getattr(before, name), name
    uncounted = dict.fromkeys(COUNTED, 0)
    assert replace(after, **uncounted) == replace(before, **uncounted)
    assert imported[1:] == imported[1:2] * (jobs - 1)
