"""Plugins of Hydra that are installed beside legoloop and do not work, in real processes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.app.command import SMALL, Ended, environment, in_a_process

WORKING = """
from hydra.core.config_store import ConfigStore
ConfigStore.instance().store(group="hydra/launcher", name="of_a_plugin", node={"working": "yes"})
"""
SEARCH_PATH = """
from hydra.plugins.search_path_plugin import SearchPathPlugin

class Broken(SearchPathPlugin):
    def manipulate_search_path(self, search_path):
        raise KeyError("gone")
"""
BROKEN = {
    "raise RuntimeError('the wrong\\nphase of the moon')": "RuntimeError: the wrong",
    "len.size": "AttributeError: 'builtin_function_or_method' object has no attribute 'size'",
    "class": "SyntaxError: invalid syntax (broken.py, line 1)",
    "raise SystemExit": "SystemExit: no cause is given",
    "import no_such_package": "ModuleNotFoundError: No module named 'no_such_package'",
    SEARCH_PATH: "KeyError: 'gone'",
}


def beside(plugins: dict[str, str], place: Path) -> dict[str, str]:
    """The environment of a process for which these files are installed."""
    for name, text in plugins.items():
        file = place / "installed" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    path = os.pathsep.join([str(place / "installed"), environment()["PYTHONPATH"]])
    return environment(PYTHONPATH=path)


def run_beside(plugins: dict[str, str], place: Path, *arguments: str) -> Ended:
    """The command, where these files are installed."""
    path = beside(plugins, place)["PYTHONPATH"]
    here = place / "here"
    here.mkdir()
    return in_a_process(here, *arguments, fresh=True, PYTHONPATH=path)


@pytest.mark.parametrize(("text", "cause"), BROKEN.items(), ids=lambda words: words.split(":")[0])
def test_a_broken_plugin_costs_a_line(text: str, cause: str, tmp_path: Path) -> None:
    plugins = {"hydra_plugins/broken.py": text, "hydra_plugins/working.py": WORKING}
    ended = run_beside(plugins, tmp_path, "--cfg", "hydra", "hydra/launcher=of_a_plugin")
    assert ended.err == f"warning: hydra_plugins.broken is skipped: {cause}\n"
    assert ended.status == 0
    assert "working: 'yes'" in ended.out


def test_each_broken_one_is_named(tmp_path: Path) -> None:
    plugins = {
        "hydra_plugins/first/__init__.py": "raise ValueError('one')",
        "hydra_plugins/first/inside.py": "raise AssertionError('never imported')",
        "hydra_plugins/second/__init__.py": "",
        "hydra_plugins/second/inside.py": "raise ValueError('two')",
        "hydra_plugins/second/_private.py": "raise AssertionError('never imported')",
    }
    ended = run_beside(plugins, tmp_path, "--cfg", "job")
    assert ended.status == 0
    assert ended.err.splitlines() == [
        "warning: hydra_plugins.first is skipped: ValueError: one",
        "warning: hydra_plugins.second.inside is skipped: ValueError: two",
    ]


def test_the_package_of_all_plugins_may_be_broken(tmp_path: Path) -> None:
    plugins = {"hydra_plugins/__init__.py": "raise ValueError('not a namespace')"}
    ended = run_beside(plugins, tmp_path, "--cfg", "job")
    assert ended.status == 0
    assert ended.err == "warning: hydra_plugins is skipped: ValueError: not a namespace\n"


def test_working_plugins_cost_no_word(tmp_path: Path) -> None:
    ended = run_beside({"hydra_plugins/working.py": WORKING}, tmp_path, "--cfg", "job")
    assert (ended.status, ended.err) == (0, "")


@pytest.mark.slow
def test_a_run_completes_beside_a_broken_plugin(tmp_path: Path) -> None:
    plugins = {"hydra_plugins/broken.py": "raise RuntimeError('broken')"}
    small = (*SMALL, "loggers=[]", "hydra.run.dir=run")
    ended = run_beside(plugins, tmp_path, *small)
    assert ended.status == 0
    assert ended.err == "warning: hydra_plugins.broken is skipped: RuntimeError: broken\n"
    assert (tmp_path / "here" / "run" / "weights").is_file()


@pytest.mark.slow
def test_composing_in_code_goes_on_beside_a_broken_plugin(tmp_path: Path) -> None:
    environ = beside({"hydra_plugins/broken.py": "raise RuntimeError('broken')"}, tmp_path)
    done = subprocess.run(
        [sys.executable, "-c", "import legoloop; legoloop.compose(['data=xor', 'model=logistic'])"],
        env=environ,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == "warning: hydra_plugins.broken is skipped: RuntimeError: broken\n"
    assert done.returncode == 0
