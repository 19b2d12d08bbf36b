"""What an import costs: heavy packages are imported by the brick that uses them, when it does."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import legoloop

APP_AND_COMMANDS = {"app", "board", "evaluate", "results", "run"}
HEAVY = {
    *("hydra", "matplotlib", "mlflow", "omegaconf", "optuna", "pandas", "polars", "psutil"),
    *("sklearn", "tensorboard", "trackio", "wandb"),
}


def brick_modules() -> list[str]:
    """Every module of legoloop but the app and the commands, found without importing any."""
    root = Path(legoloop.__file__).parent
    paths = [path.relative_to(root.parent).with_suffix("").parts for path in root.rglob("*.py")]
    return sorted(
        ".".join(path).removesuffix(".__init__")
        for path in paths
        if path[1] not in APP_AND_COMMANDS
    )


def imported_by(*modules: str) -> set[str]:
    """The top-level packages that a fresh process holds after importing the modules."""
    script = f"import sys, json, {', '.join(modules)}; print(json.dumps(list(sys.modules)))"
    printed = subprocess.run([sys.executable, "-c", script], check=True, stdout=subprocess.PIPE)
    return {name.partition(".")[0] for name in json.loads(printed.stdout)}


def test_the_package_alone_imports_nothing_heavy() -> None:
    assert imported_by("legoloop") & {"numpy", "torch", *HEAVY} == set()


@pytest.mark.slow
def test_all_bricks_together_import_torch_and_nothing_heavier() -> None:
    modules = brick_modules()
    assert {"legoloop", "legoloop.core", "legoloop.loop.host"} < set(modules)
    assert imported_by(*modules) & {"torch", *HEAVY} == {"torch"}


def test_what_hydra_imports_of_us_in_any_application_is_little() -> None:
    heavy = {"numpy", "scipy", "torch", "dependency_injector", *HEAVY} - {"hydra", "omegaconf"}
    assert imported_by("hydra_plugins.legoloop") & heavy == set()


@pytest.mark.parametrize("name", legoloop.__all__)
def test_every_public_name_can_be_had(name: str) -> None:
    assert getattr(legoloop, name) is not None


def imported_by_the_command(*flags: str) -> set[str]:
    """The top-level packages that a process of the command ends with."""
    script = (
        "import atexit, json, os, sys\n"
        "atexit.register(lambda: print(json.dumps(list(sys.modules)), file=sys.stderr))\n"
        f"sys.argv = ['legoloop-run', *{flags!r}]\n"
        "from legoloop.run import command\n"
        "command()\n"
    )
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True)
    return {name.partition(".")[0] for name in json.loads(done.stderr)}


@pytest.mark.parametrize("flags", [("--help",), ("--cfg", "job")], ids=" ".join)
def test_help_and_configuration_import_hydra_alone(flags: tuple[str, ...]) -> None:
    heavy = {"numpy", "scipy", "torch", "dependency_injector", *HEAVY} - {"hydra", "omegaconf"}
    assert imported_by_the_command(*flags) & heavy == set()


@pytest.mark.slow
def test_a_run_imports_neither_a_compiler_nor_scikit_learn(tmp_path: Path) -> None:
    overrides = ["data=digits", "scheduler=cosine", "num_epochs=1", f"hydra.run.dir={tmp_path}/run"]
    script = (
        f"import sys, legoloop as ll; ll.compose({overrides}).host().run()\n"
        "print({'torch._dynamo', 'sklearn', 'scipy', 'pandas'} & {*sys.modules}, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True)
    assert done.stderr.split() == [b"set()"]


@pytest.mark.slow
def test_a_rank_imports_no_compiler() -> None:
    script = """
import os, sys, torch
from torch import nn
from legoloop.core.rank_group import RankGroup
from legoloop.training.parallel.data_parallel import DataParallel

os.environ.update(MASTER_ADDR="localhost", MASTER_PORT="0")
group = RankGroup(0, 1)
model = nn.Linear(2, 1)
opt = torch.optim.SGD(model.parameters(), lr=0.1)
synced = DataParallel().wrap(model, opt, model)
synced(torch.ones(3, 2)).sum().backward()
print("torch._dynamo" in sys.modules, hasattr(sys.modules["torch"], "__file__"))

import torch._dynamo
synced(torch.ones(3, 2)).sum().backward()
compiled = torch.compile(lambda x: synced(x).sum(), backend="eager")
print(float(compiled(torch.ones(3, 2))) == float(synced(torch.ones(3, 2)).sum()))
group.close()
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout.split() == ["False", "True", "True"], done.stderr
