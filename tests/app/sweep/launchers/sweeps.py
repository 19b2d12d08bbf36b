"""Sweeps of the tiny app, in processes of their own."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from legoloop.app.hydra_bridge.overrides import search_path
from legoloop.app.hydra_bridge.shipped_config import shipped_config_dir
from tests.app.command import Ended, environment

APP = Path(__file__).parent / "tiny_app.py"


def begun(here: Path, *overrides: str, **changes: str) -> subprocess.Popen[str]:
    """A sweep of the tiny app."""
    return subprocess.Popen(
        [sys.executable, str(APP), "-m", search_path(shipped_config_dir()), *overrides],
        cwd=here,
        env=environment(**changes),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ended(sweep: subprocess.Popen[str]) -> Ended:
    out, err = sweep.communicate(timeout=120)
    return Ended(sweep.returncode, out, err)


def facts(here: Path, job: int) -> dict[str, Any]:
    """What a job wrote down."""
    found: dict[str, Any] = json.loads((here / "sweep" / str(job) / "facts.json").read_text())
    return found


def wait_until(condition: Callable[[], object]) -> None:
    give_up = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < give_up
        time.sleep(0.02)


def is_gone(pid: int) -> bool:
    """Whether there is no such process any more, or only its number."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
