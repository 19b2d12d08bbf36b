"""Python commands in processes that are forked, since importing torch and hydra takes seconds.

A server has legoloop imported, but for its commands, and what that needs, and forks for each
command: a process with arguments, directory, environment, output, signals and exit status of its
own, which ends as an interpreter does. What is read from the environment at start-up or at import,
such as ``PYTHONHASHSEED`` and ``LEGOLOOP_TORCH_SHORTCUTS``, is the server's. Tests of start-up, of
imports and of how the interpreter ends take a fresh interpreter instead.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import os
import pkgutil
import runpy
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import Any

PRELOADED = (
    *("numpy", "polars", "torch", "torch.optim.lr_scheduler", "torch.utils.data"),
    *("hydra", "hydra.utils", "hydra._internal.hydra", "omegaconf", "yaml", "tqdm"),
    *("dependency_injector.providers", "dependency_injector.wiring"),
    *("tensorboard.compat.proto.event_pb2", "tensorboard.summary.writer.record_writer"),
)
COMMANDS = (
    *("legoloop.run", "legoloop.evaluate", "legoloop.results.__main__"),
    "legoloop.app.sweep.launchers.job_process",
)
ONE_THREAD = {
    "OPENBLAS_NUM_THREADS": "1",
    "JE_ARROW_MALLOC_CONF": "background_thread:false",
    "_RJEM_MALLOC_CONF": "background_thread:false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
}
SLEEPING = "polars-ooc-clea"
"""A thread of polars that waits for files that were spilled to the disk; no command spills any."""
ROOT = Path(__file__).parents[1]
SECONDS_BETWEEN_LOOKS = 0.005


# The client


def run(
    words: Sequence[str],
    *,
    cwd: Path,
    env: Mapping[str, str],
    imported: Sequence[str] = (),
    timeout: float = 300.0,
) -> subprocess.CompletedProcess[str]:
    """As ``subprocess.run([sys.executable, *words], capture_output=True, text=True, ...)``."""
    process = ForkedProcess(words, cwd=cwd, env=env, imported=imported)
    try:
        out, err = process.communicate(timeout)
    except BaseException:
        process.kill()
        process.communicate()
        raise
    return subprocess.CompletedProcess(process.args, process.wait(), out, err)


class ForkedProcess:
    """As ``subprocess.Popen([sys.executable, *words], ...)``, which it can stand in for.

    Args:
        words: What follows ``python``: ``-m`` and a module, ``-c`` and code, or a script, and its
            arguments.
        cwd: The folder that it starts in.
        env: All of its environment.
        imported: Modules that it finds imported, besides those that every command needs.
    """

    def __init__(
        self,
        words: Sequence[str],
        *,
        cwd: Path,
        env: Mapping[str, str],
        imported: Sequence[str] = (),
    ) -> None:
        self.args = [sys.executable, *words]
        self._server = _server(*imported)
        self.returncode: int | None = None
        self._output = TemporaryDirectory()
        command = {"words": list(words), "cwd": str(cwd), "env": dict(env)}
        self.pid: int = self._server.ask(start={**command, "output": self._output.name})

    def poll(self) -> int | None:
        """Its exit status, once it has ended; that of a signal is negative."""
        if self.returncode is None:
            self.returncode = self._server.ask(poll=self.pid)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Its exit status."""
        give_up = None if timeout is None else time.monotonic() + timeout
        while (status := self.poll()) is None:
            if give_up is not None and time.monotonic() > give_up:
                raise subprocess.TimeoutExpired(self.args, timeout or 0.0)
            time.sleep(SECONDS_BETWEEN_LOOKS)
        return status

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """All that it said to the standard output and to the standard error, once it has ended."""
        self.wait(timeout)
        folder = Path(self._output.name)
        said = (folder / "out").read_text(), (folder / "err").read_text()
        self._output.cleanup()
        return said

    def send_signal(self, number: int) -> None:
        """Send it a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """Send it SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Send it SIGKILL."""
        self.send_signal(signal.SIGKILL)


class _Server:
    """The other process: a line of JSON for every question, and one for its answer."""

    def __init__(self, imported: Sequence[str]) -> None:
        # Threads do not outlive a fork: those of what is imported are not to begin.
        self._process = subprocess.Popen(
            [sys.executable, __file__, *imported],
            env={**os.environ, **ONE_THREAD},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        atexit.register(self._process.communicate)

    def ask(self, **question: Any) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(json.dumps(question), file=self._process.stdin, flush=True)
        return json.loads(self._process.stdout.readline())


@cache
def _server(*imported: str) -> _Server:
    return _Server(imported)


# The server


def main() -> None:
    """Answer questions to the end of the input; in each fork, be the command instead."""
    with suppress(ValueError):
        sys.path.remove(str(Path(__file__).parent))
    sys.path.insert(0, str(ROOT))
    for name in (*PRELOADED, *_modules_of_legoloop(), *sys.argv[1:]):
        importlib.import_module(name)
    sys.path.remove(str(ROOT))
    gc.freeze()  # what is looked at for garbage would be copied
    assert _other_threads() <= {SLEEPING}
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # it comes to the whole group
    installed = _without_pythonpath(sys.path)
    while line := sys.stdin.readline():
        ((what, given),) = json.loads(line).items()
        if what == "poll":
            pid, status = os.waitpid(given, os.WNOHANG)
            answer = os.waitstatus_to_exitcode(status) if pid else None
        elif (answer := os.fork()) == 0:
            # A shell that started the tests in the background has it ignored.
            signal.signal(signal.SIGINT, signal.default_int_handler)
            _prepare(given, installed)
            return _execute(given["words"])
        print(json.dumps(answer), flush=True)
    return None


def _other_threads() -> set[str]:
    tasks = [task for task in os.listdir("/proc/self/task") if int(task) != os.getpid()]
    return {Path("/proc/self/task", task, "comm").read_text().strip() for task in tasks}


def _modules_of_legoloop() -> list[str]:
    found = pkgutil.walk_packages([str(ROOT / "legoloop")], "legoloop.")
    return [module.name for module in found if module.name not in COMMANDS]


def _without_pythonpath(path: list[str]) -> list[str]:
    given = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    return [entry for entry in path if entry not in given]


def _prepare(command: dict[str, Any], installed: list[str]) -> None:
    """What a process is given when it is started."""
    import numpy as np
    import torch

    null = os.open(os.devnull, os.O_RDONLY)
    files = [
        os.open(Path(command["output"], name), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        for name in ("out", "err")
    ]
    for number, file in enumerate([null, *files]):
        os.dup2(file, number)
        os.close(file)
    sys.stdin = sys.__stdin__ = open(0, closefd=False)  # type: ignore[misc]  # noqa: SIM115
    os.chdir(command["cwd"])
    os.environ.clear()
    os.environ.update(command["env"])
    added = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    sys.path[:] = [*filter(None, added), *installed]
    importlib.invalidate_caches()
    np.random.seed()  # as an interpreter of its own would seed it
    if threads := os.environ.get("OMP_NUM_THREADS"):
        torch.set_num_threads(int(threads))


def _execute(words: list[str]) -> None:
    """What the interpreter does with its arguments."""
    sys.modules["__main__"] = module = ModuleType("__main__")
    kind, *rest = words
    if kind == "-m":
        sys.path.insert(0, os.getcwd())
        sys.argv = ["-m", *rest[1:]]
        runpy._run_module_as_main(rest[0])  # type: ignore[attr-defined]
    elif kind == "-c":
        sys.path.insert(0, "")
        sys.argv = ["-c", *rest[1:]]
        exec(compile(rest[0], "<string>", "exec"), vars(module))
    else:
        sys.path.insert(0, str(Path(kind).resolve().parent))
        sys.argv = words
        module.__file__ = kind
        exec(compile(Path(kind).read_bytes(), kind, "exec"), vars(module))


if __name__ == "__main__":
    main()
