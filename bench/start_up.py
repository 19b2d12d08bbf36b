"""How fast a run starts and ends: ``python bench/start_up.py``.

A run on digits, as it ships, against the same training written by hand on Hydra in one file. Whole
processes, in pairs one after the other, and medians: until the optimizer has made its first step,
until the process is gone, from the last line that it prints to its end, and what ``--help`` and
``--cfg job`` take. CPU seconds, those of children included, are steadier than the clock's on a
machine that is shared.
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

MARK = "first step"
TOLD = f"""
def told():
    spent = os.times()
    cpu = spent.user + spent.system + spent.children_user + spent.children_system
    print("{MARK}", time.clock_gettime(time.CLOCK_MONOTONIC), cpu, flush=True)
"""
BRICK = f"""
import os
import time
{TOLD}
class TellsFirstStep:
    after = ("GradientDescent",)
    is_done = False

    def batch_end(self, step):
        if not self.is_done:
            self.is_done = True
            told()
"""
HAND_WRITTEN = f"""
import os
import time

import hydra
import torch
from omegaconf import DictConfig
from sklearn.datasets import load_digits
from sklearn.metrics import accuracy_score
from sklearn.model_selection import train_test_split
from torch import nn
from torch.utils.data import DataLoader, TensorDataset
{TOLD}
@hydra.main(version_base="1.3", config_path=".", config_name="config")
def main(cfg: DictConfig) -> None:
    torch.manual_seed(cfg.seed)
    image, target = load_digits(return_X_y=True)
    image = torch.from_numpy(image).float().reshape(-1, 1, 8, 8) / 16
    parts = train_test_split(image, torch.from_numpy(target), test_size=0.2, stratify=target)
    train = TensorDataset(parts[0], parts[2])
    loader = DataLoader(train, batch_size=cfg.batch_size, shuffle=True)
    model = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
        nn.Linear(256, 10),
    )
    opt = torch.optim.Adam(model.parameters(), lr=cfg.lr)
    is_first = True
    for epoch in range(cfg.num_epochs):
        for x, y in loader:
            opt.zero_grad()
            nn.functional.cross_entropy(model(x), y).backward()
            opt.step()
            if is_first:
                is_first = False
                told()
        with torch.no_grad():
            print("accuracy", accuracy_score(parts[3], model(parts[1]).argmax(1)))
    folder = hydra.core.hydra_config.HydraConfig.get().runtime.output_dir
    torch.save(model.state_dict(), folder + "/weights")
    print("completed", flush=True)

main()
"""
CONFIG = "seed: 0\nnum_epochs: 1\nbatch_size: 32\nlr: 0.001\n"
OURS = ("-m", "legoloop.run")
RUN = ("num_epochs=1", "+plugins.tells={_target_: tells.TellsFirstStep}")
COMMANDS = {
    "run": {"legoloop": (*OURS, *RUN), "by hand": ("by_hand.py",)},
    "--help": {"legoloop": (*OURS, "--help"), "by hand": ("by_hand.py", "--help")},
    "--cfg job": {"legoloop": (*OURS, "--cfg", "job"), "by hand": ("by_hand.py", "--cfg", "job")},
}


def timed(command: tuple[str, ...], here: Path) -> dict[str, float]:
    """What one process took, by the moments that its output tells of."""
    began = time.clock_gettime(time.CLOCK_MONOTONIC)
    process = subprocess.Popen(
        [sys.executable, *command],
        cwd=here,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": _path(here)},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    took = {}
    last = began
    for line in process.stdout:
        last = time.clock_gettime(time.CLOCK_MONOTONIC)
        if line.startswith(MARK):
            at, cpu = map(float, line.removeprefix(MARK).split())
            took |= {"first step": at - began, "first step, CPU": cpu}
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, command
    now = time.clock_gettime(time.CLOCK_MONOTONIC)
    took |= {"process": now - began, "process, CPU": used.ru_utime + used.ru_stime}
    return took | {"last line to exit": now - last}


def _path(here: Path) -> str:
    return os.pathsep.join([str(Path(__file__).parent.parent), str(here)])


def main() -> None:
    """Print a table of medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    found: dict[str, dict[str, list[float]]] = {}
    with TemporaryDirectory() as folder:
        here = Path(folder)
        (here / "tells.py").write_text(BRICK)
        (here / "by_hand.py").write_text(HAND_WRITTEN)
        (here / "config.yaml").write_text(CONFIG)
        for number in range(-1, rounds):  # the first warms the disk up
            for what, commands in COMMANDS.items():
                for kind, command in commands.items():
                    for moment, seconds in timed(command, here).items():
                        if number >= 0:
                            kinds = found.setdefault(f"{what}: {moment}", {})
                            kinds.setdefault(kind, []).append(seconds)
    print(f"\nPython {platform.python_version()}, {os.cpu_count()} CPUs, medians of {rounds}, s\n")
    print("| | legoloop | by hand | ratio in pairs |\n|---|---|---|---|")
    for row, kinds in found.items():
        if row.startswith("-") and "exit" in row:
            continue
        ours, theirs = kinds["legoloop"], kinds["by hand"]
        ratio = median(mine / other for mine, other in zip(ours, theirs, strict=True))
        print(f"| {row} | {median(ours):.2f} | {median(theirs):.2f} | {ratio:.2f} |")


if __name__ == "__main__":
    main()
