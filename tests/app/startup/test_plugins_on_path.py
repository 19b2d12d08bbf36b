"""A sweep where nothing but an editable install leads to the checkout."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import legoloop
from legoloop.app.startup.plugins_on_path import plugins_on_path

ROOT = Path(legoloop.__file__).parent.parent

# What an editable install does: packages are found by a finder, their folder is not on the path.
EDITABLE = f"""
import sys
from importlib.machinery import ModuleSpec, PathFinder

class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == "legoloop":
            return PathFinder.find_spec(name, [{str(ROOT)!r}])
        if name == "hydra_plugins" and {str(ROOT)!r} not in sys.path:
            spec = ModuleSpec(name, None, is_package=True)
            spec.submodule_search_locations = ["no folder that can be listed"]
            return spec

sys.path[:] = [entry for entry in sys.path if entry not in ("", {str(ROOT)!r})]
sys.meta_path.insert(0, Finder())
from legoloop.run import command
sys.argv = ["legoloop-run", "-m", "seed=0,1", "data=xor", "model=mlp", "num_epochs=1",
            "hydra.sweep.dir=sweep"]
command()
"""


def test_the_checkout_is_put_on_the_path_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", ["somewhere"])
    plugins_on_path()
    plugins_on_path()
    assert sys.path == ["somewhere", str(ROOT)]


@pytest.mark.slow
def test_a_sweep_runs_with_an_editable_install(tmp_path: Path) -> None:
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-P", "-c", EDITABLE],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "sweep" / "1" / "weights").exists()
