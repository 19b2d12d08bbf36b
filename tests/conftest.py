"""The order of the test files, the threads of the workers, and the state that tests leave.

Every test leaves the generators, the last seed and the thread count as it found them.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from hypothesis import settings

from legoloop.core import rng

# The machine is shared: how long an example takes says nothing.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


LONGEST_FILES = (
    "faults/test_broken_off.py",
    "faults/test_faults.py",
    "app/sweep/launchers/test_ray.py",
    "app/sweep/launchers/test_slurm.py",
    "contracts/test_resume.py",
    "contracts/test_ranks.py",
    "app/sweep/search/test_search.py",
    "app/run/test_ranked_run.py",
    "app/test_everything_on.py",
    "test_conf.py",
    "contracts/test_members.py",
    "app/sweep/test_resumed_sweep.py",
    "test_terminal.py",
    "app/sweep/test_sweep_acceptance.py",
    "app/show/test_batch_size.py",
    "app/sweep/launchers/test_vmap.py",
    "test_first_hour.py",
    "results/page/test_in_browser.py",
    "app/run/test_determinism_check.py",
    "contracts/test_resume_each.py",
    "app/run/test_resume.py",
    "app/config/test_references.py",
    "app/run/test_rerun.py",
    "app/sweep/test_sweep.py",
    "output/scalars/test_mlflow.py",
    "app/sweep/launchers/test_submitit.py",
    "contracts/test_resume_optimisation.py",
    "test_wrong_inputs.py",
    "training/step/test_compile.py",
    "app/hydra_bridge/test_caching_loader.py",
    "test_run.py",
    "output/scalars/test_progress.py",
    "test_notebook.py",
    "bench/test_growth.py",
    "experiments/test_gan_on_digits.py",
    "app/sweep/test_job_isolation.py",
)
"""They start first: no worker is alone with one of them at the end."""


def pytest_configure(config: pytest.Config) -> None:
    """Workers side by side, and the processes that they start, take one thread each."""
    config.option.loadscopereorder = False  # xdist would start files of few tests last
    if hasattr(config, "workerinput"):
        os.environ.setdefault("OMP_NUM_THREADS", "1")
        os.environ.setdefault("TORCHINDUCTOR_COMPILE_THREADS", "1")
        torch.set_num_threads(1)


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """One more than there are cores: a third of the time, tests wait for processes."""
    return len(os.sched_getaffinity(0)) + 1


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    ranks = {here / name: rank for rank, name in enumerate(LONGEST_FILES)}
    items.sort(key=lambda item: ranks.get(item.path, len(ranks)))


def pytest_collection_finish() -> None:
    """What the thousands of tests hold stays: it is not looked at for garbage again."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def tracking_services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Those that keep something for a user keep it in a folder of the tests, and call nobody."""
    home = tmp_path_factory.mktemp("services")
    with pytest.MonkeyPatch.context() as patch:
        for name in ("TRACKIO_DIR", "WANDB_CACHE_DIR", "WANDB_CONFIG_DIR", "WANDB_DATA_DIR"):
            patch.setenv(name, str(home / name.lower()))
        patch.setenv("WANDB_ERROR_REPORTING", "false")
        patch.setenv("WANDB_SILENT", "true")
        patch.setenv("HF_HUB_OFFLINE", "1")
        yield


@pytest.fixture(autouse=True)
def process_as_it_was(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    threads = torch.get_num_threads()
    monkeypatch.setattr(rng, "_last_seed", None)
    with rng.preserved_rng():
        yield
    torch.set_num_threads(threads)
