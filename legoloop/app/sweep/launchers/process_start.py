"""How the process of a job starts: as a new interpreter, or as a fork of one that has imported all.

A new interpreter imports torch, Hydra and legoloop for seconds, which is longer than a small job
trains. A fork has what they are in memory at once. The fork server is itself an interpreter of its
own, which never trains: it has no threads and no GPU that a fork would take over half.
"""

from __future__ import annotations

import gc
import os
import signal
import socket
import subprocess
import sys
import warnings
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib import import_module
from multiprocessing.connection import Connection
from typing import Any, Literal, Protocol

StartMethod = Literal["forkserver", "spawn"]
Files = tuple[int, int, int]
"""Descriptors of standard input, output and error."""

HYDRA_MODULES = ("hydra.core.utils", "hydra.plugins.launcher", "omegaconf", "cloudpickle")
TRAINING_MODULES = (
    *("torch", "torch.utils.data", "numpy", "legoloop", "legoloop.app.sweep.job"),
    *("legoloop.app.run.job", "legoloop.app.run.lifecycle", "legoloop.app.wiring.make_app"),
    *("filelock", "typeguard", "tensorboard.compat.proto.event_pb2"),
    "tensorboard.summary.writer.record_writer",
)
"""What jobs of any Hydra app import, and what runs import; not polars, which starts a thread."""


class Process(Protocol):
    """The process of a job, which is the leader of a process group of its own."""

    pid: int

    def has_ended(self) -> bool:
        """Whether it has; its number stays its own until it is waited for."""
        ...

    def wait(self) -> int:
        """Its exit status once it has ended; that of a signal is negative."""
        ...


class ProcessStart(Protocol):
    """Starts processes that run the ``main`` of one module."""

    def start(self, environment: Mapping[str, str], files: Files) -> Process:
        """Start one, with so much of the environment set otherwise than here."""
        ...

    def close(self) -> None:
        """Nothing more is started, and all that was is waited for."""
        ...


class NewInterpreters:
    """A new interpreter for each.

    Args:
        module: the name of what they run.
    """

    def __init__(self, module: str) -> None:
        self._module = module

    def start(self, environment: Mapping[str, str], files: Files) -> Process:
        return _NewInterpreter(self._module, environment, files)

    def close(self) -> None:
        """Nothing is left."""


class _NewInterpreter:
    def __init__(self, module: str, environment: Mapping[str, str], files: Files) -> None:
        self._process = _interpreter(module, environment, *files)
        self.pid = self._process.pid

    def has_ended(self) -> bool:
        return _has_ended(self.pid)

    def wait(self) -> int:
        return self._process.wait()


class ForkServer:
    """Forks of one interpreter, which starts with the first of them.

    Args:
        module: the name of what they run.
        environment: what is set for all processes otherwise than here, such as the number of
            threads: libraries read some of it when they are imported.
        imported: the modules that it imports.
    """

    def __init__(
        self, module: str, environment: Mapping[str, str], imported: Sequence[str]
    ) -> None:
        self._module = module
        self._environment = environment
        self._imported = list(imported)
        self._server: subprocess.Popen[bytes] | None = None
        self._requests: Any = None

    def start(self, environment: Mapping[str, str], files: Files) -> Process:
        place = {"environment": _full_environment(environment), "directory": os.getcwd()}
        request = {"fork": {"module": self._module, **place}}
        if self._server is None:
            self._begin()
        try:
            pid = self.ask(request, files)
        except (EOFError, OSError):  # somebody killed it
            self.close()
            self._begin()
            pid = self.ask(request, files)
        return _Fork(self, int(pid))

    def _begin(self) -> None:
        ours, theirs = socket.socketpair()
        nothing = subprocess.DEVNULL
        self._server = _interpreter(__name__, self._environment, theirs.fileno(), nothing, nothing)
        theirs.close()
        self._requests = _Messages(ours)
        self.ask({"import": self._imported})

    def ask(self, request: Mapping[str, Any], files: Sequence[int] = ()) -> Any:
        """Raises EOFError or OSError if it is gone."""
        self._requests.send(request, files)
        answer, _ = self._requests.receive()
        return answer

    def close(self) -> None:
        if self._server is not None:
            self._requests.close()
            self._server.wait()
            self._server = None


class _Fork:
    def __init__(self, server: ForkServer, pid: int) -> None:
        self._server = server
        self.pid = pid

    def has_ended(self) -> bool:
        return bool(self._asked("has_ended", if_gone=True))

    def wait(self) -> int:
        return int(self._asked("wait", if_gone=-signal.SIGKILL))

    def _asked(self, question: str, if_gone: Any) -> Any:
        """The answer; without a server there is none, and the launcher kills the process."""
        try:
            return self._server.ask({question: self.pid})
        except (EOFError, OSError):
            return if_gone


class _Messages:
    """Values and descriptors over a socket, one message after the other."""

    def __init__(self, over: socket.socket) -> None:
        self._socket = over
        self._values = Connection(os.dup(over.fileno()))

    def send(self, value: Any, files: Sequence[int] = ()) -> None:
        self._values.send((value, len(files)))
        if files:
            socket.send_fds(self._socket, [b"\0"], files)

    def receive(self) -> tuple[Any, list[int]]:
        value, number = self._values.recv()
        files = socket.recv_fds(self._socket, 1, number)[1] if number else []
        return value, files

    def close(self) -> None:
        self._socket.close()
        self._values.close()


def _interpreter(
    module: str, environment: Mapping[str, str], stdin: int, stdout: int, stderr: int
) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", module],
        stdin=stdin,
        stdout=stdout,
        stderr=stderr,
        env=_full_environment(environment),
        process_group=0,  # or the terminal's Ctrl-C would reach it twice
    )


def _full_environment(environment: Mapping[str, str]) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **environment}


# The fork server


def main() -> None:
    """Answer requests until there can be no more; in each fork, run the module instead."""
    requests = _Messages(socket.socket(fileno=os.dup(0)))
    while True:
        try:
            request, files = requests.receive()
        except (EOFError, OSError):
            os._exit(0)  # what was imported is not taken apart
        answer: Any = None
        if "import" in request:
            _import(request["import"])
        elif "has_ended" in request:
            answer = _has_ended(request["has_ended"])
        elif "wait" in request:
            answer = os.waitstatus_to_exitcode(os.waitpid(request["wait"], 0)[1])
        elif (answer := _forked()) == 0:
            requests.close()
            return _run(**request["fork"], files=files)
        else:
            with suppress(OSError):  # the fork may have done it first
                os.setpgid(answer, answer)
            for file in files:
                os.close(file)
        requests.send(answer)


def _import(names: Sequence[str]) -> None:
    gc.disable()
    for name in names:
        with suppress(ImportError):  # if a job needs it, it says so
            import_module(name)
    gc.freeze()  # what is looked at for garbage would be copied
    gc.enable()


def _has_ended(pid: int) -> bool:
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _forked() -> int:
    with warnings.catch_warnings():
        # Some libraries have threads that end before a fork, and begin again after it.
        warnings.simplefilter("ignore", DeprecationWarning)
        return os.fork()


def _run(module: str, environment: Mapping[str, str], directory: str, files: Sequence[int]) -> None:
    os.setpgid(0, 0)
    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)
    os.chdir(directory)
    os.environ.clear()
    os.environ.update(environment)
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed()  # as a new interpreter does
    import_module(module).main()


if __name__ == "__main__":
    main()
