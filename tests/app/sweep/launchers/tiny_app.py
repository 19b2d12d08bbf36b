"""An application of Hydra's whose jobs cost nothing: what launchers do, without training."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig


def task(tree: DictConfig) -> str:
    """Does what it is told, and writes down in what it was done."""
    from legoloop.core.interruption import Interrupted

    here = Path(HydraConfig.get().runtime.output_dir)
    facts = {"pid": os.getpid(), "parent": os.getppid(), "do": tree.do, **os.environ}
    if tree.do == "leave a child":
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        facts["child"] = child.pid
    if tree.do in ("wait", "refuse to end"):

        def heard(number: int, frame: object) -> None:
            with (here / "heard").open("a") as file:
                file.write(f"{signal.Signals(number).name}\n")
            if tree.do == "wait":
                sys.exit(0)

        signal.signal(signal.SIGINT, heard)
        signal.signal(signal.SIGTERM, heard)
    (here / "draft").write_text(json.dumps(facts))
    (here / "draft").rename(here / "facts.json")
    if tree.do in ("wait", "refuse to end"):
        time.sleep(600)
        time.sleep(600)
    if tree.do == "give way" and not (here / "has given way").exists():
        (here / "has given way").touch()
        raise Interrupted(signal.SIGUSR2)
    if tree.do == "raise":
        raise ValueError("this job fails")
    if tree.do == "exit":
        os._exit(9)
    if tree.do == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    print(f"does {tree.do}")
    print("and says so", file=sys.stderr)
    return str(tree.do)


def main() -> None:
    conf = Path(__file__).parent
    hydra.main(version_base="1.3", config_path=str(conf), config_name="tiny")(task)()


if __name__ == "__main__":
    main()
