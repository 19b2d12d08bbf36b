"""Sweeps of the tiny app, in processes of their own."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from legoloop.app.hydra_bridge.overrides import search_path
from legoloop.app.hydra_bridge.shipped_config import shipped_config_dir
from tests.app.command import Ended, environment
from tests.fork_server import ForkedProcess

APP = Path(__file__).parent / "tiny_app.py"


def begun(here: Path, *overrides: str, **changes: str) -> ForkedProcess:
    """A sweep of the tiny app."""
    words = [str(APP), "-m", search_path(shipped_config_dir()), *overrides]
    return ForkedProcess(words, cwd=here, env=environment(**changes))


def ended(sweep: ForkedProcess) -> Ended:
    out, err = sweep.communicate(timeout=400)
    return Ended(sweep.returncode, out, err)


def facts(here: Path, job: int) -> dict[str, Any]:
    """What a job wrote down."""
    found: dict[str, Any] = json.loads((here / "sweep" / str(job) / "facts.json").read_text())
    return found


def wait_until(condition: Callable[[], object]) -> None:
    give_up = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < give_up
        time.sleep(0.02)


def is_gone(pid: int) -> bool:
    """Whether there is no such process any more, or only its number."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
