"""Checkpointer: what is written comes back, or is known not to be what was written."""

from __future__ import annotations

import errno
import io
import json
import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import tracemalloc
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

import legoloop as ll
from legoloop.core.rng import get_rng_state, set_rng_state
from legoloop.core.run_directory import CHECKPOINT_MANIFEST, CHECKPOINT_STATE
from legoloop.state.checkpoints import (
    CHUNK,
    checkpoints_in,
    is_checkpoint,
    newest_checkpoint,
    read_checkpoint,
    read_newest,
    write_checkpoint,
)
from legoloop.state.manifest import FileDigest, Manifest

ROOT = Path(__file__).parents[2]


def a_state(epoch: int) -> dict[str, Any]:
    return {"weight": torch.full((20,), float(epoch)), "epoch": epoch}


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    folder = tmp_path / "3"
    write_checkpoint(folder, a_state(3))
    return folder


# What comes back


def test_everything_that_a_state_is_made_of_comes_back_as_it_was(tmp_path: Path) -> None:
    shared = torch.arange(6.0)
    state = {
        "int keys": {1: {"a": (1, 2)}, 2: [None, True, -1.5, "text", b"bytes", 2**200]},
        "tuple keys": {(1, "a"): 0},
        "ordered": OrderedDict(b=1, a=2),
        "not numbers": [float("inf"), float("-inf")],
        "types": [torch.ones(2, dtype=kind) for kind in (torch.bfloat16, torch.int8, torch.bool)],
        "strided": torch.arange(6).reshape(2, 3).T,
        "shared": [shared, shared[2:]],
    }
    write_checkpoint(tmp_path / "1", state)
    back = read_checkpoint(tmp_path / "1")

    back["shared"][0][2] = 99
    assert back["shared"][1][0] == 99
    back["shared"][0][2] = 2
    assert str(back) == str(state)
    assert back["strided"].stride() == state["strided"].stride()


@pytest.mark.parametrize("size", [CHUNK - 1, CHUNK, 3 * CHUNK + 1])
def test_a_state_of_several_pieces_comes_back(tmp_path: Path, size: int) -> None:
    state = {
        "large": (torch.arange(size) % 251).to(torch.uint8),
        "small": [torch.full((9,), float(number)) for number in range(20)],
    }
    write_checkpoint(tmp_path / "1", state)
    back = read_checkpoint(tmp_path / "1")
    assert torch.equal(back["large"], state["large"])
    assert str(back["small"]) == str(state["small"])


@pytest.mark.skipif(not hasattr(os, "posix_fadvise"), reason="the system cannot be asked")
def test_the_disk_begins_with_each_byte_once_while_more_come(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[int, int]] = []

    def listening(handle: int, start: int, size: int, how: int) -> None:
        asked.append((start, start + size))
        assert os.fstat(handle).st_size >= start + size - io.DEFAULT_BUFFER_SIZE

    monkeypatch.setattr(os, "posix_fadvise", listening)
    tensors = [torch.ones(size, dtype=torch.uint8) for size in (3 * CHUNK, *[CHUNK // 4] * 9)]
    write_checkpoint(tmp_path / "1", {"tensors": tensors})

    starts, ends = zip(*asked, strict=True)
    assert starts == (0, *ends[:-1])
    assert all(CHUNK <= end - start < 2 * CHUNK for start, end in asked)
    assert 0 <= (tmp_path / "1" / CHECKPOINT_STATE).stat().st_size - ends[-1] < CHUNK


def test_no_byte_of_a_state_is_copied_to_be_written(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "0", a_state(0))
    state = {"weight": torch.ones(4 * CHUNK, dtype=torch.uint8)}
    tracemalloc.start()
    try:
        write_checkpoint(tmp_path / "1", state)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < CHUNK


def test_generators_go_on_as_they_would_have(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "1", get_rng_state())
    drawn = torch.rand(3), np.random.randn(3), np.random.randn(1)
    set_rng_state(read_checkpoint(tmp_path / "1"))
    again = torch.rand(3), np.random.randn(3), np.random.randn(1)
    assert str(drawn) == str(again)


@pytest.mark.parametrize(
    "foreign", [np.float64(0.5), np.arange(3), Path("x"), range(3), 10**3000], ids=repr
)
def test_refuses_to_save_what_could_not_be_read_back(tmp_path: Path, foreign: Any) -> None:
    with pytest.raises(ll.DataError, match=r"a plugin's state holds .*could not be read back"):
        write_checkpoint(tmp_path / "3", {"best": foreign})
    assert list(tmp_path.iterdir()) == []


def test_replaces_an_older_one_of_the_same_step(checkpoint: Path) -> None:
    write_checkpoint(checkpoint, {"epoch": 4})
    assert read_checkpoint(checkpoint) == {"epoch": 4}
    assert os.listdir(checkpoint.parent) == ["3"]


# Damage


def test_the_manifest_lists_size_and_digest(checkpoint: Path) -> None:
    facts = json.loads((checkpoint / CHECKPOINT_MANIFEST).read_text())["files"][CHECKPOINT_STATE]
    assert facts["bytes"] == (checkpoint / CHECKPOINT_STATE).stat().st_size
    assert len(facts["sha256"]) == 64


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of two whole checkpoints, the later one to be damaged in a copy."""
    folder = tmp_path_factory.mktemp("two")
    write_checkpoint(folder / "1", a_state(1), number=1)
    write_checkpoint(folder / "2", a_state(2), number=2, scalars={"val/loss": 0.1})
    return folder


@contextmanager
def damaged(two: Path, name: str) -> Iterator[Path]:
    """The file to damage; then the damage must show before anything is deserialised."""
    with tempfile.TemporaryDirectory() as copy, pytest.MonkeyPatch.context() as patch:
        shutil.copytree(two, copy, dirs_exist_ok=True)
        yield Path(copy, "2", name)
        assert newest_checkpoint(Path(copy)) == Path(copy, "1")
        patch.setattr(torch, "load", lambda *args, **given: pytest.fail("it was deserialised"))
        with pytest.raises(ll.DataError, match=r"is damaged|is no checkpoint"):
            read_checkpoint(Path(copy, "2"))


FILES = st.sampled_from([CHECKPOINT_STATE, CHECKPOINT_MANIFEST])


@given(name=FILES, part=st.floats(0, 1, exclude_max=True))
@example(name=CHECKPOINT_STATE, part=0.0)
@example(name=CHECKPOINT_MANIFEST, part=0.0)
@example(name=CHECKPOINT_MANIFEST, part=0.9999)
def test_a_file_cut_short_anywhere_is_detected(two: Path, name: str, part: float) -> None:
    with damaged(two, name) as file:
        os.truncate(file, int(part * file.stat().st_size))


@given(name=FILES, part=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_a_bit_flipped_anywhere_is_detected(two: Path, name: str, part: float, bit: int) -> None:
    with damaged(two, name) as file:
        content = bytearray(file.read_bytes())
        content[int(part * len(content))] ^= 1 << bit
        file.write_bytes(content)


@given(name=FILES, part=st.floats(0, 1), more=st.binary(min_size=1, max_size=5))
def test_bytes_put_in_anywhere_are_detected(two: Path, name: str, part: float, more: bytes) -> None:
    with damaged(two, name) as file:
        content = file.read_bytes()
        here = int(part * len(content))
        file.write_bytes(content[:here] + more + content[here:])


@pytest.mark.parametrize("name", [CHECKPOINT_STATE, CHECKPOINT_MANIFEST])
def test_a_deleted_file_is_detected(two: Path, name: str) -> None:
    with damaged(two, name) as file:
        file.unlink()


@pytest.mark.parametrize("name", [CHECKPOINT_STATE, CHECKPOINT_MANIFEST])
def test_a_folder_in_place_of_a_file_is_detected(two: Path, name: str) -> None:
    with damaged(two, name) as file:
        file.unlink()
        file.mkdir()


def test_a_pipe_in_place_of_a_file_is_not_waited_for(two: Path) -> None:
    with damaged(two, CHECKPOINT_STATE) as file:
        file.unlink()
        os.mkfifo(file)


def test_each_flip_of_the_manifest_is_detected(checkpoint: Path) -> None:
    manifest = checkpoint / CHECKPOINT_MANIFEST
    whole = manifest.read_bytes()
    for position in range(len(whole)):
        manifest.write_bytes(
            whole[:position] + bytes([whole[position] ^ 1]) + whole[position + 1 :]
        )
        with pytest.raises(ll.DataError, match="is damaged"):
            read_checkpoint(checkpoint)


@pytest.mark.parametrize(
    "text",
    [
        *("", "{", "{}", "[]", "3", "null", "[" * 100_000, "\0"),
        '{"number": Infinity, "files": {}, "scalars": {}}',
        '{"number": 1, "files": {"state.pt": {}}, "scalars": {}}',
        '{"number": 1, "files": 3, "scalars": {}}',
    ],
    ids=lambda text: text[:20],
)
def test_refuses_what_is_no_manifest(checkpoint: Path, text: str) -> None:
    (checkpoint / CHECKPOINT_MANIFEST).write_text(text)
    with pytest.raises(ll.DataError, match="is damaged: it"):
        read_checkpoint(checkpoint)


def test_refuses_a_folder_that_is_no_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(ll.DataError, match=r"is no checkpoint: it has no manifest.json"):
        read_checkpoint(tmp_path)
    assert not is_checkpoint(tmp_path)


# Malice


def with_manifest(folder: Path) -> None:
    """A manifest that fits whatever the file of the state holds."""
    with (folder / CHECKPOINT_STATE).open("rb") as content:
        facts = FileDigest.of(content)
    (folder / CHECKPOINT_MANIFEST).write_text(Manifest(9, {CHECKPOINT_STATE: facts}).text())


class Canary:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.path),)


def test_a_pickle_that_runs_code_is_refused(two: Path, tmp_path: Path) -> None:
    shutil.copytree(two, tmp_path, dirs_exist_ok=True)
    canary = tmp_path / "canary"
    torch.save({"weight": Canary(canary)}, tmp_path / "2" / CHECKPOINT_STATE)
    with_manifest(tmp_path / "2")

    with pytest.raises(ll.DataError, match="is refused: it is not a state of tensors"):
        read_checkpoint(tmp_path / "2")
    found = read_newest(tmp_path)

    assert found is not None
    assert (found[0].name, found[1]["epoch"]) == ("1", 1)
    assert not canary.exists()


def test_bytes_that_are_no_state_are_refused(checkpoint: Path) -> None:
    (checkpoint / CHECKPOINT_STATE).write_bytes(b"whatever")
    with_manifest(checkpoint)
    with pytest.raises(ll.DataError, match="is refused"):
        read_checkpoint(checkpoint)


@pytest.mark.parametrize("linked", ["2", f"2/{CHECKPOINT_STATE}", f"2/{CHECKPOINT_MANIFEST}"])
def test_a_link_that_leads_elsewhere_is_refused(two: Path, tmp_path: Path, linked: str) -> None:
    shutil.copytree(two, tmp_path / "kept")
    (tmp_path / "kept" / linked).rename(tmp_path / "elsewhere")
    (tmp_path / "kept" / linked).symlink_to(tmp_path / "elsewhere")

    with pytest.raises(ll.DataError, match=r"is a link to .*elsewhere"):
        read_checkpoint(tmp_path / "kept" / "2")
    assert newest_checkpoint(tmp_path / "kept") == tmp_path / "kept" / "1"


def test_writing_does_not_follow_links(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "precious").touch()
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "1").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "kept" / f".1.{os.getpid()}.tmp").symlink_to(tmp_path / "elsewhere")

    write_checkpoint(tmp_path / "kept" / "1", a_state(1))

    assert os.listdir(tmp_path / "elsewhere") == ["precious"]
    assert read_checkpoint(tmp_path / "kept" / "1")["epoch"] == 1
    assert os.listdir(tmp_path / "kept") == ["1"]


def test_a_folder_of_checkpoints_may_be_a_link(two: Path, tmp_path: Path) -> None:
    (tmp_path / "kept").symlink_to(two)
    assert newest_checkpoint(tmp_path / "kept") == tmp_path / "kept" / "2"


# The newest


def test_the_newest_is_the_one_written_last_whatever_its_step(tmp_path: Path) -> None:
    for number, step in enumerate([9, 10, 4]):
        write_checkpoint(tmp_path / str(step), {"step": step}, number)
    assert [path.name for path in checkpoints_in(tmp_path)] == ["4", "10", "9"]
    assert read_newest(tmp_path) == (tmp_path / "4", {"step": 4})


def test_damaged_ones_are_named_and_passed_over(
    two: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shutil.copytree(two, tmp_path, dirs_exist_ok=True)
    (tmp_path / "2" / CHECKPOINT_STATE).write_bytes(b"")
    assert newest_checkpoint(tmp_path) == tmp_path / "1"
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert f"{tmp_path / '2' / CHECKPOINT_STATE} is damaged" in caplog.text

    (tmp_path / "1" / CHECKPOINT_MANIFEST).unlink()
    assert newest_checkpoint(tmp_path) is None
    assert read_newest(tmp_path) is None


def test_whatever_else_lies_there_is_no_checkpoint(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "7").mkdir()
    (tmp_path / "8").touch()
    (tmp_path / "notes").mkdir()
    write_checkpoint(tmp_path / ".9.4711.tmp", a_state(9))
    assert newest_checkpoint(tmp_path) is None
    assert caplog.records == []


# A disk that does not take it


class Failing:
    """Lets so many calls of a function pass, and fails the next one."""

    def __init__(self, function: Callable[..., Any], error: int, passes: int) -> None:
        self.function = function
        self.error = error
        self.passes = passes
        self.has_failed = False

    def __call__(self, *args: Any, **given: Any) -> Any:
        self.passes -= 1
        if self.passes == -1:
            self.has_failed = True
            raise OSError(self.error, os.strerror(self.error))
        return self.function(*args, **given)


NOT_SAVED = r"/2 cannot be saved \(.*\): it needs \d{4} bytes, \d+ are free; the checkpoints before"


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EIO])
@pytest.mark.parametrize("call", ["fsync", "replace", "mkdir"])
def test_an_error_at_any_call_leaves_what_was_there(tmp_path: Path, call: str, error: int) -> None:
    write_checkpoint(tmp_path / "1", a_state(1), number=1)
    write_checkpoint(tmp_path / "2", a_state(2), number=2)
    failures = 0
    for passes in range(20):
        with pytest.MonkeyPatch.context() as patch:
            failing = Failing(getattr(os, call), error, passes)
            patch.setattr(os, call, failing)
            told = ""
            try:
                write_checkpoint(tmp_path / "2", a_state(20), number=3)
            except ll.DataError as refused:
                told = str(refused)
        # An error in making a folder that is there already is nobody's.
        assert bool(re.search(NOT_SAVED, told)) == failing.has_failed or (told, passes) == ("", 0)
        found = read_newest(tmp_path)
        assert found is not None
        assert found[1]["epoch"] in (2, 20)
        assert read_checkpoint(tmp_path / "1")["epoch"] == 1
        assert not list(tmp_path.glob("*.tmp"))
        failures += failing.has_failed
    assert 0 < failures < 20


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """The system itself refuses to write more into a file."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("size", [0, 1, 100, 5000, 100_000])
def test_a_write_that_the_system_refuses_is_told_with_the_bytes_needed(
    tmp_path: Path, size: int
) -> None:
    write_checkpoint(tmp_path / "1", a_state(1), number=1)
    big = {"weight": torch.ones(50_000)}
    needed = r"/2 cannot be saved \(File too large\): it needs 20\d{4} bytes, \d+ are free"
    with files_of_at_most(size), pytest.raises(ll.DataError, match=needed):
        write_checkpoint(tmp_path / "2", big, number=2)
    assert os.listdir(tmp_path) == ["1"]
    write_checkpoint(tmp_path / "2", big, number=2)
    assert newest_checkpoint(tmp_path) == tmp_path / "2"


FULL = """
import sys
from pathlib import Path
import torch
from legoloop.core.errors import DataError
from legoloop.state.checkpoints import newest_checkpoint, read_newest, write_checkpoint
folder = Path(sys.argv[1])
write_checkpoint(folder / "1", {"epoch": 1}, number=1)
filler = folder / "filler"
for left in (0, 4096, 40_000, 300_000):
    with filler.open("wb", buffering=0) as file:
        try:
            while file.write(bytes(4096)): pass
        except OSError: pass
        file.truncate(file.tell() - left)
    try:
        write_checkpoint(folder / "2", {"weight": torch.ones(100_000)}, number=2)
        print("saved")
    except DataError as error:
        print(error)
    assert newest_checkpoint(folder) == folder / "1"
    assert sorted(path.name for path in folder.iterdir()) == ["1", "filler"]
filler.unlink()
write_checkpoint(folder / "2", {"weight": torch.ones(100_000)}, number=2)
assert read_newest(folder)[1]["weight"].sum() == 100_000
"""
IN_A_SMALL_DISK = 'mount -t tmpfs -o size=1m tmpfs "$1" && exec "$2" -c "$3" "$1"'


@pytest.mark.slow
def test_a_full_disk(tmp_path: Path) -> None:
    alone = ["unshare", "--user", "--map-root-user", "--mount"]
    mounting = [*alone, "mount", "-t", "tmpfs", "tmpfs", str(tmp_path)]
    if not shutil.which("unshare") or subprocess.run(mounting, capture_output=True).returncode:
        pytest.skip("only where a user may mount a small disk")

    ended = subprocess.run(
        [*alone, "sh", "-c", IN_A_SMALL_DISK, "sh", str(tmp_path), sys.executable, FULL],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )

    assert (ended.returncode, ended.stderr) == (0, "")
    told = ended.stdout.splitlines()
    assert len(told) == 4
    assert all("cannot be saved (No space left on device): it needs 40" in line for line in told)


# A process that is killed

KILLED = '''
"""Save once in each of many children, killing the n-th before its n-th call to the system."""
import os, shutil, signal, sys
from pathlib import Path
from legoloop.training.counter import Counter
from legoloop.state.checkpointer import Checkpointer
from tests.state.test_checkpoints import a_state, before_the_kill

CALLS = ("fsync", "replace", "rename", "mkdir", "unlink", "rmdir", "remove")

def killed_before(function, left):
    def counted(*args, **given):
        left[0] -= 1
        if left[0] < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*args, **given)
    return counted

root, case = Path(sys.argv[1]), sys.argv[2]
for number in range(60):
    folder = root / str(number)
    step = before_the_kill(folder, case)
    child = os.fork()
    if child == 0:
        counter = Counter()
        counter.steps = step
        left = [number]
        for call in CALLS:
            setattr(os, call, killed_before(getattr(os, call), left))
        Checkpointer(counter, folder, keep_last=1)._save({**a_state(step), "is new": True})
        os._exit(0)
    _, status = os.waitpid(child, 0)
    if status == 0:
        break
    assert os.WTERMSIG(status) == signal.SIGKILL, status
'''


def before_the_kill(folder: Path, case: str) -> int:
    """What is in the folder; the step to be saved."""
    folder.mkdir()
    if case == "the first":
        return 0
    write_checkpoint(folder / "7", a_state(7), number=1)
    return 7 if case == "the same step again" else 14


@pytest.mark.slow
@pytest.mark.parametrize("case", ["the first", "a later step", "the same step again"])
def test_a_kill_before_any_call_leaves_a_whole_one(tmp_path: Path, case: str) -> None:
    subprocess.run([sys.executable, "-c", KILLED, str(tmp_path), case], check=True, cwd=ROOT)

    found = []
    for number in range(len(os.listdir(tmp_path))):
        folder = tmp_path / str(number)
        found.append(read_newest(folder))
        counter = ll.Counter()
        counter.steps = 21
        ll.Checkpointer(counter, folder, keep_last=1)._save(a_state(21))
        assert os.listdir(folder) == ["21"]

    assert all(case == "the first" if each is None else whole(each[1]) for each in found)
    is_new = [each is not None and "is new" in each[1] for each in found]
    assert is_new == sorted(is_new)
    assert 5 < is_new.index(True) < len(is_new) - 1


def whole(state: dict[str, Any]) -> bool:
    return bool(state["weight"].sum() == 20 * state["epoch"])
