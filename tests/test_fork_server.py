"""A forked command is what a fresh interpreter is: compared side by side."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests import fork_server

PRINTS = "import os, sys; print(sys.argv, sys.path[0], os.getcwd(), os.environ['GIVEN'], __name__)"
COMMANDS = {
    "code": ("-c", PRINTS, "a", "b c"),
    "a module": ("-m", "printing", "a"),
    "a script": ("printing.py", "--a"),
    "an exit status": ("-c", "import sys; sys.exit(4)"),
    "an exit message": ("-c", "import sys; sys.exit('said')"),
    "no more than this": ("-c", "import os; os._exit(5)"),
    "what is done at exit": (
        "-c",
        "import atexit, sys, threading; atexit.register(print, 'at exit'); "
        "threading.Timer(0.1, print, ['by a thread']).start(); sys.stdout.write('not flushed ')",
    ),
    "SIGKILL": ("-c", "import os; os.kill(os.getpid(), 9)"),
    "SIGTERM": ("-c", "import os; os.kill(os.getpid(), 15)"),
    "an empty input": ("-c", "import sys; print(repr(sys.stdin.read()))"),
}


@pytest.mark.parametrize("words", COMMANDS.values(), ids=COMMANDS)
def test_it_does_the_same(words: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "printing.py").write_text(PRINTS)
    env = {**os.environ, "GIVEN": "this"}
    fresh = subprocess.run(
        [sys.executable, *words],
        cwd=tmp_path,
        env=env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    forked = fork_server.run(words, cwd=tmp_path, env=env)
    assert (forked.returncode, forked.stdout, forked.stderr) == (
        fresh.returncode,
        fresh.stdout,
        fresh.stderr,
    )


def test_it_can_be_interrupted(tmp_path: Path) -> None:
    code = "import pathlib, time\ntry:\n    pathlib.Path('begun').touch(); time.sleep(60)\n"
    code += "except KeyboardInterrupt:\n    print('interrupted')"
    process = fork_server.ForkedProcess(["-c", code], cwd=tmp_path, env=os.environ)
    while not (tmp_path / "begun").exists():
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=60) == ("interrupted\n", "")
    assert process.returncode == 0


def test_each_draws_its_own_numbers(tmp_path: Path) -> None:
    code = "import random, numpy; print(random.random(), numpy.random.rand())"
    one, other = (fork_server.run(["-c", code], cwd=tmp_path, env=os.environ) for _ in range(2))
    assert one.returncode == 0, one.stderr
    drawn = [*one.stdout.split(), *other.stdout.split()]
    assert len(set(drawn)) == 4
