"""Tests of legoloop.data.left_workers."""

from __future__ import annotations

import subprocess
import sys

import pytest

LEAVES_WORKERS = """
import gc
import legoloop as ll

class Numbers:
    def __len__(self): return 64
    def __getitem__(self, number): return {"x": number}

class Holder: pass

gc.disable()
holder = Holder()
holder.batches = iter(ll.Loader(Numbers(), "val", 0, ll.LoaderConfig(4, num_workers=2)))
holder.itself = holder
print(next(holder.batches)["x"].tolist())
del holder
"""


@pytest.mark.slow
def test_an_interpreter_exits_whatever_holds_the_batches_of_workers() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", LEAVES_WORKERS], capture_output=True, text=True, timeout=100
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "[0, 1, 2, 3]\n", "")
