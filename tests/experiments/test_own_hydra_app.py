"""The application runs where legoloop is installed; here that is a wheel, made of this checkout."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from configparser import ConfigParser
from pathlib import Path

import pytest

from tests import fork_server
from tests.experiments.projects import EXPERIMENTS, commands, copied

ROOT = EXPERIMENTS.parent
CONF = Path("conf") / "ensemble.yaml"
SHORT = ("ensemble.py", "members=2", "num_epochs=1", "optimizer.lr=0.003")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what pip installs of this checkout, without its dependencies."""
    place = tmp_path_factory.mktemp("wheel")
    setup = ConfigParser()
    setup.read(ROOT / "setup.cfg")
    packages = {name.split(".")[0] for name in setup["options"]["packages"].split()}
    for folder in ("conf", *packages):
        shutil.copytree(ROOT / folder, place / "source" / folder)
    for file in ("LICENSE", "README.md", "pyproject.toml", "setup.cfg"):
        shutil.copy(ROOT / file, place / "source")
    alone = ("--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check")
    pip = [sys.executable, "-m", "pip", "install", "-q", *alone]
    subprocess.run([*pip, "--target", str(place / "site"), str(place / "source")], check=True)
    return place / "site"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copied("own_hydra_app", tmp_path_factory.mktemp("elsewhere"))


def python(project: Path, path: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Python, started in the folder of the project, with legoloop found in ``path`` alone."""
    elsewhere = [entry for entry in sys.path if entry and Path(entry).resolve() != ROOT]
    pythonpath = os.pathsep.join([str(path), *elsewhere])
    env = {**os.environ, "PYTHONPATH": pythonpath, "OMP_NUM_THREADS": "1"}
    return fork_server.run(words, cwd=project, env=env)


def completed(project: Path, path: Path, *words: str) -> str:
    done = python(project, path, *words)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@pytest.mark.slow
def test_the_groups_are_those_of_the_installed_package(project: Path, site: Path) -> None:
    shown = completed(project, site, *SHORT, "--info", "searchpath")
    assert re.search(r"hydra.searchpath in main\s*\|\s*pkg://legoloop.conf", shown)
    tree = completed(project, site, *SHORT, "model=simple_cnn", "--cfg", "job")
    assert "_target_: legoloop.zoo.models.SimpleCNN" in tree
    assert "_target_: votes.mean" in tree


@pytest.mark.slow
def test_members_train_and_vote(project: Path, site: Path) -> None:
    printed = completed(project, site, *SHORT)
    accuracies = [float(number) for number in re.findall(r"accuracy ([\d.]+)", printed)]
    assert len(accuracies) == 3
    assert min(accuracies) > 0.5
    assert accuracies[0] != accuracies[1]
    assert printed == completed(project, site, *SHORT)


@pytest.mark.slow
def test_a_checkout_is_told_by_its_folder(project: Path, site: Path) -> None:
    missing = python(project, ROOT, *SHORT)
    if missing.returncode == 0:
        pytest.skip("this checkout is installed")
    assert "path=legoloop.conf is not available" in missing.stderr
    told = f"hydra.searchpath=[file://{ROOT / 'conf'}]"
    assert completed(project, ROOT, *SHORT, told) == completed(project, site, *SHORT)


def test_the_readme_shows_the_line_as_it_is_written(project: Path) -> None:
    (shown,) = re.findall(r"```yaml\n(.*?)```", (project / "README.md").read_text(), re.DOTALL)
    assert shown in (project / CONF).read_text()


@pytest.mark.long
def test_the_readmes_commands_run_and_the_first_prints_what_it_shows(
    site: Path, tmp_path: Path
) -> None:
    project = copied("own_hydra_app", tmp_path)
    first, *_ = printed = [completed(project, site, *words) for words in commands(project)]
    assert len(printed) == 3
    vote = float(re.findall(r"vote    accuracy ([\d.]+)", first)[0])
    assert vote > 0.95
