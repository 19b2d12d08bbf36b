from __future__ import annotations

from pathlib import Path

import pytest

import legoloop as ll
from legoloop.core.errors import ConfigError

ONLY_A_SWEEP = "only a sweep reads this; leave it out, or add -m"
IN_A_RUN = {
    "hydra.sweep.dir=x": f"hydra.sweep.dir (command line): {ONLY_A_SWEEP}, or set hydra.run.dir",
    "hydra.sweep.subdir=x": (
        f"hydra.sweep.subdir (command line): {ONLY_A_SWEEP}, or set hydra.run.dir"
    ),
    "hydra/launcher=processes": f"hydra/launcher (command line): {ONLY_A_SWEEP}",
    "+hydra.launcher.n_jobs=2": f"hydra.launcher.n_jobs (command line): {ONLY_A_SWEEP}",
    "hydra/sweeper=basic": f"hydra/sweeper (command line): {ONLY_A_SWEEP}",
    "hydra.sweeper.max_batch_size=2": (
        f"hydra.sweeper.max_batch_size (command line): {ONLY_A_SWEEP}"
    ),
    "sweep.on_failure=stop": f"sweep.on_failure (command line): {ONLY_A_SWEEP}",
    "run_dir=x": (
        "run_dir (command line): is 'x'; it follows hydra.run.dir, or hydra.sweep.dir in a sweep; "
        "write hydra.run.dir=x"
    ),
}


@pytest.mark.parametrize(("override", "message"), IN_A_RUN.items())
def test_what_a_single_run_does_not_read_is_refused(
    override: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError) as refused:
        ll.compose(["data=xor", "model=logistic", override])
    assert str(refused.value) == message
    assert list(tmp_path.iterdir()) == []


def test_a_preset_may_choose_a_launcher_for_its_sweeps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    preset = tmp_path / "mine" / "experiment" / "many.yaml"
    preset.parent.mkdir(parents=True)
    preset.write_text(
        "# @package _global_\ndefaults:\n  - override /hydra/launcher: processes\nseed: 1\n"
    )
    app = ll.compose(["experiment=many", "data=xor", "model=logistic"], config_dir="mine")
    assert app.config.seed() == 1
