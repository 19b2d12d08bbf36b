from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import legoloop as ll
from legoloop.core import ranks
from legoloop.core.growing_state import from_text
from legoloop.state import checkpointer as keeping
from legoloop.state.checkpointer import SavedCheckpoint, select_to_keep
from legoloop.state.checkpoints import (
    CHECKPOINT_STATE,
    checkpoints_in,
    newest_checkpoint,
    read_checkpoint,
    read_newest,
    write_checkpoint,
)
from tests.loop.tiny_plugins import Drive, Epochs
from tests.tiny import Noisy, Tiny, accuracy, tiny, weights

ROOT = Path(__file__).parents[2]
EPOCHS = 4


def a_run(folder: Path, **given: Any) -> tuple[Tiny, ll.TrainingHost]:
    """A run with everything that keeps state."""
    parts = tiny(num_epochs=EPOCHS, epoch_size=10, dataset=Noisy())
    acc = parts.loaders_acc(when="epoch_end")
    metrics = ll.AccumulatorMetrics(acc, accuracy)
    sources = [metrics, loss := ll.TrainLoss()]
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(parts.opt, T_max=11)
    given = {"every_steps": 2, "keep_last": None, **given}
    return parts, parts.host(
        acc,
        *sources,
        ll.LRScheduler(scheduler, parts.counter, interval="step"),
        ll.EarlyStopping(loss, "loss", patience=100),
        ll.History(parts.counter, sources),
        ll.CsvMetrics(folder / "metrics.csv", parts.counter, sources),
        ll.Checkpointer(parts.counter, folder / "checkpoints", sources=sources, **given),
    )


RESUME = """
import sys
from pathlib import Path
from legoloop.state.checkpoints import read_checkpoint
from tests.state.test_checkpointer import a_run
from tests.tiny import weights
folder = Path(sys.argv[1])
parts, host = a_run(folder)
host.load_state_dict(read_checkpoint(folder / "checkpoints" / sys.argv[2]))
host.run()
(folder / "resumed").write_bytes(weights(parts.model))
"""


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, bytes]:
    """The folder and the final weights of a run that nobody interrupted."""
    folder = tmp_path_factory.mktemp("whole")
    parts, host = a_run(folder)
    host.run()
    return folder, weights(parts.model)


def steps_in(folder: Path) -> list[int]:
    return sorted(int(kept.name) for kept in folder.iterdir())


KEPT = [0, 2, 3, 4, 6, 8, 9, 10, 12]
"""Before the first step, every two steps, and at the end of the epochs of three."""


def test_keeps_all_if_told_so(whole: tuple[Path, bytes]) -> None:
    assert steps_in(whole[0] / "checkpoints") == KEPT


@pytest.mark.parametrize("step", KEPT)
def test_resuming_in_another_host_ends_with_the_same_bits(
    whole: tuple[Path, bytes], tmp_path: Path, step: int
) -> None:
    folder, expected = whole
    torch.rand(7), np.random.rand(3)  # whatever happened before

    parts, host = a_run(tmp_path)
    host.load_state_dict(read_checkpoint(folder / "checkpoints" / str(step)))
    host.run()

    assert weights(parts.model) == expected
    if step < KEPT[-1]:  # else there was nothing left to report
        assert (tmp_path / "metrics.csv").read_text() == (folder / "metrics.csv").read_text()


@pytest.mark.slow
def test_resuming_in_another_process_ends_with_the_same_bits(whole: tuple[Path, bytes]) -> None:
    folder, expected = whole
    command = [sys.executable, "-W", "error", "-c", RESUME, str(folder), "4"]

    subprocess.run(command, check=True, cwd=ROOT)

    assert (folder / "resumed").read_bytes() == expected


def test_saving_changes_nothing(tmp_path: Path) -> None:
    parts = tiny()
    saving = ll.Checkpointer(parts.counter, tmp_path, every_steps=1, every_seconds=0.01)
    assert parts.trained(saving) == tiny().trained()


# When


@pytest.mark.parametrize(
    ("given", "steps"),
    [
        ({}, [0, 6, 12, 18]),
        ({"every_epochs": 2}, [0, 12, 18]),
        ({"every_epochs": 4}, [0, 18]),
        ({"every_epochs": None}, [0, 18]),
        ({"every_epochs": None, "every_steps": 5}, [0, 5, 10, 15, 18]),
        ({"every_steps": 4}, [0, 4, 6, 8, 12, 16, 18]),
        ({"every_epochs": None, "every_seconds": 1e-9}, list(range(19))),
        ({"every_epochs": None, "every_seconds": 1e9}, [0, 18]),
    ],
)
def test_saves_when_it_is_time_and_at_both_ends(
    tmp_path: Path, given: dict[str, Any], steps: list[int]
) -> None:
    parts = tiny(num_epochs=3)
    parts.trained(ll.Checkpointer(parts.counter, tmp_path, keep_last=None, **given))
    assert steps_in(tmp_path) == steps


@pytest.mark.parametrize("every_epochs", [1, 2, None])
def test_a_state_is_taken_for_each_save_and_no_other(
    tmp_path: Path, every_epochs: int | None
) -> None:
    class Counted:
        taken = 0

        def state_dict(self) -> dict[str, Any]:
            self.taken += 1
            return {}

        def load_state_dict(self, state: dict[str, Any]) -> None:
            """Nothing."""

        def train_start(self) -> None:
            """Nothing."""

    parts, counted = tiny(num_epochs=3), Counted()
    parts.trained(counted, ll.Checkpointer(parts.counter, tmp_path, every_epochs, keep_last=None))
    kept_during_evaluations = 3
    assert counted.taken == len(steps_in(tmp_path)) + kept_during_evaluations


def test_counts_the_seconds_from_the_last_save(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = iter(range(0, 1000))  # each look at the clock takes a second
    monkeypatch.setattr(ranks, "monotonic", lambda: next(now))
    parts = tiny(num_epochs=2)
    checkpoints = ll.Checkpointer(parts.counter, tmp_path, None, every_seconds=4, keep_last=None)
    parts.trained(checkpoints)
    assert steps_in(tmp_path) == [0, 4, 8, 12]


def test_an_early_stop_is_an_end_too(tmp_path: Path) -> None:
    class StopsAt:
        def __init__(self, counter: ll.Counter) -> None:
            self.counter = counter

        def batch_end(self, step: ll.Step) -> ll.ShouldStop | None:
            return ll.ShouldStop("enough") if self.counter.steps == 8 else None

    parts = tiny(num_epochs=3)
    parts.trained(StopsAt(parts.counter), ll.Checkpointer(parts.counter, tmp_path, None))
    assert steps_in(tmp_path) == [0, 8]


def test_holds_what_every_plugin_heard_of_the_stage(tmp_path: Path) -> None:
    parts = tiny(num_epochs=1)
    checkpoints = ll.Checkpointer(parts.counter, tmp_path)
    loss = ll.TrainLoss()
    history = ll.History(parts.counter, loss)

    parts.host(checkpoints, history, loss).run()

    state = read_checkpoint(tmp_path / "6")
    assert dict(from_text(state["plugins"]["History"]["rows"])) == history.rows != {}


def few(folder: Path, **given: Any) -> tuple[ll.Counter, ll.Checkpointer, ll.TrainingHost]:
    """Three epochs of two steps each, with nothing to train."""
    counter = ll.Counter()
    checkpoints = ll.Checkpointer(counter, folder, **given)
    return counter, checkpoints, ll.TrainingHost([Drive(), Epochs(3), counter, checkpoints])


def test_what_a_run_goes_on_from_is_not_written_again(tmp_path: Path) -> None:
    few(tmp_path)[2].run()
    before = (tmp_path / "4" / CHECKPOINT_STATE).stat()
    (tmp_path / "6" / CHECKPOINT_STATE).write_bytes(b"damaged")

    counter, _, host = few(tmp_path, every_epochs=None)
    found = read_newest(tmp_path)
    assert found is not None
    host.load_state_dict(found[1])
    host.run()

    assert found[0] == tmp_path / "4"
    assert counter.steps == 6
    assert (tmp_path / "4" / CHECKPOINT_STATE).stat() == before
    assert read_checkpoint(tmp_path / "6")["stop_reason"] == "that many epochs"


def test_a_run_that_goes_on_from_elsewhere_begins_with_a_save(tmp_path: Path) -> None:
    few(tmp_path / "a")[2].run()
    _, _, host = few(tmp_path / "b", keep_last=None)
    host.load_state_dict(read_checkpoint(tmp_path / "a" / "4"))
    host.run()
    assert steps_in(tmp_path / "b") == [4, 6]


def test_an_interruption_saves_what_is_not_there_yet(tmp_path: Path) -> None:
    counter, checkpoints, host = few(tmp_path)
    assert checkpoints.interrupted() is not None
    host.run()
    assert checkpoints.interrupted() is None
    counter.steps += 1
    asked = checkpoints.interrupted()
    assert asked is not None
    asked.save(host.state_dict())
    assert newest_checkpoint(tmp_path) == tmp_path / "7"
    assert checkpoints.interrupted() is None


def test_a_checkpoint_waits_for_the_disk_twice_and_for_no_file_but_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    fsync = os.fsync

    def counted(handle: int) -> None:
        asked.append(Path(os.readlink(f"/proc/self/fd/{handle}")).name)
        fsync(handle)

    _, host = a_run(tmp_path, every_steps=None, every_epochs=1)
    saves: list[list[str]] = []
    write = keeping.write_checkpoint

    def listening(*given: Any) -> None:
        asked.clear()
        write(*given)
        saves.append(list(asked))

    states: list[list[str]] = []
    state_dict = host.state_dict

    def listening_to_states() -> Any:
        asked.clear()
        state = state_dict()
        states.append(list(asked))
        return state

    monkeypatch.setattr(os, "fsync", counted)
    monkeypatch.setattr(keeping, "write_checkpoint", listening)
    monkeypatch.setattr(host, "state_dict", listening_to_states)
    host.run()
    assert len(saves) == 1 + EPOCHS
    for save in saves:
        assert len(save) == 4
        assert {*save[:2], *save[2:3]} > {CHECKPOINT_STATE, "manifest.json"}
        assert save[3] == "checkpoints"
    assert not any(states)
    rows = (tmp_path / "metrics.csv").read_text().splitlines()
    assert len(rows) == 1 + EPOCHS


# Which stay

scores = st.one_of(st.none(), st.sampled_from([0.0, 0.5, 1.0]), st.floats(-1, 1))
kepts = st.lists(scores, max_size=12).flatmap(
    lambda given: st.permutations(
        [SavedCheckpoint(Path(str(n)), n, s) for n, s in enumerate(given)]
    )
)


@given(kepts, st.integers(1, 5), st.integers(0, 5), st.booleans())
def test_the_last_and_the_best_stay(
    kept: Sequence[SavedCheckpoint], last: int, best: int, more: bool
) -> None:
    stay = select_to_keep(kept, last, best, more)
    gone = [each for each in kept if each not in stay]
    scored = [each for each in kept if each.score is not None]

    assert stay == sorted(stay, key=lambda each: each.number)
    assert {each.number for each in stay} >= set(range(len(kept))[-last:])
    assert len(stay) <= last + best
    assert sum(each in stay for each in scored) >= min(best, len(scored))
    for lost in gone:
        if lost.score is not None:
            # So many stay that are better, or as good and earlier.
            better = [
                each
                for each in scored
                if (each.score > lost.score if more else each.score < lost.score)  # type: ignore
                or (each.score == lost.score and each.number < lost.number)
            ]
            assert len(better) >= best
            assert sum(each in stay for each in better) >= best


@given(kepts, st.integers(0, 5), st.booleans())
def test_all_stay_if_told_so(kept: Sequence[SavedCheckpoint], best: int, more: bool) -> None:
    assert set(select_to_keep(kept, None, best, more)) == set(kept)


class Told:
    """A source of one scalar, a value an epoch."""

    def __init__(self, *values: float, tag: str = "val/accuracy") -> None:
        self.values = iter(values)
        self.tag = tag
        self.now: dict[str, float] = {}

    def epoch_end(self) -> None:
        self.now = {self.tag: next(self.values)}

    def scalars(self) -> dict[str, float]:
        return self.now


def kept_of(folder: Path, source: Told, epochs: int, **given: Any) -> list[int]:
    """The steps that stay, where an epoch is a step."""
    counter = ll.Counter()
    checkpoints = ll.Checkpointer(counter, folder, metric=source.tag, sources=source, **given)
    host = ll.TrainingHost([checkpoints, source, counter, Drive(1), Epochs(epochs)])
    host.run()
    return steps_in(folder)


@pytest.mark.parametrize(
    ("tag", "mode", "best"),
    [
        ("val/accuracy", None, [2, 5]),
        ("val/loss", None, [3, 6]),
        ("mine", "max", [2, 5]),
        ("val/accuracy", "min", [3, 6]),
    ],
)
def test_keeps_the_best(tmp_path: Path, tag: str, mode: str | None, best: list[int]) -> None:
    source = Told(0.5, 0.9, 0.1, 0.4, 0.9, 0.1, float("nan"), 0.5, tag=tag)
    assert kept_of(tmp_path, source, 8, keep_last=1, keep_best=2, mode=mode) == [*best, 8]


def test_the_best_of_an_earlier_process_stays_the_best(tmp_path: Path) -> None:
    assert kept_of(tmp_path, Told(0.1, 0.9, 0.2), 3, keep_last=1, keep_best=1) == [2, 3]

    counter, source = ll.Counter(), Told(0.8, 0.7)
    checkpoints = ll.Checkpointer(
        counter, tmp_path, keep_last=1, keep_best=1, metric=source.tag, sources=source
    )
    plugins = {"checkpoints": checkpoints, "source": source, "Counter": counter}
    host = ll.TrainingHost({**plugins, "Drive": Drive(1), "Epochs": Epochs(5)})
    state = read_checkpoint(tmp_path / "3")
    state["plugins"]["Epochs"]["left"] = 2
    host.load_state_dict({**state, "stop_reason": None})
    host.run()

    assert steps_in(tmp_path) == [2, 5]


def test_old_ones_go_only_when_the_new_one_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[str, list[str]]] = []

    def removed(path: Path) -> None:
        whole = [each.name for each in checkpoints_in(tmp_path) if read_checkpoint(each)]
        seen.append((path.name, whole))
        remove(path)

    remove = keeping.remove_directory
    monkeypatch.setattr(keeping, "remove_directory", removed)
    few(tmp_path, keep_last=1)[2].run()
    assert seen == [("0", ["2", "0"]), ("2", ["4", "2"]), ("4", ["6", "4"])]


def test_damaged_ones_take_nobodys_place(tmp_path: Path) -> None:
    few(tmp_path)[2].run()
    flipped = bytearray((tmp_path / "6" / CHECKPOINT_STATE).read_bytes())
    flipped[100] ^= 1
    (tmp_path / "6" / CHECKPOINT_STATE).write_bytes(flipped)

    counter, checkpoints, host = few(tmp_path)
    counter.steps = 5
    checkpoints._save(host.state_dict())
    assert steps_in(tmp_path) == [4, 5]


def test_a_course_that_was_left_is_not_taken_for_the_newest(tmp_path: Path) -> None:
    few(tmp_path)[2].run()
    counter, checkpoints, host = few(tmp_path)
    counter.steps = 5
    checkpoints._save(host.state_dict())
    assert newest_checkpoint(tmp_path) == tmp_path / "5"


def test_touches_nothing_of_others(tmp_path: Path) -> None:
    (tmp_path / "2024").mkdir()
    (tmp_path / "2024" / "notes").touch()
    (tmp_path / "1").touch()
    few(tmp_path, keep_last=1)[2].run()
    assert steps_in(tmp_path) == [1, 6, 2024]


def test_removes_what_killed_processes_left(tmp_path: Path) -> None:
    few(tmp_path)[2].run()
    (tmp_path / "6").rename(tmp_path / ".6.0.bak")
    write_checkpoint(tmp_path / ".6.4711.tmp", {})
    found = newest_checkpoint(tmp_path)
    assert found == tmp_path / ".6.0.bak"

    _, _, host = few(tmp_path)
    host.load_state_dict(read_checkpoint(found))
    host.run()

    assert steps_in(tmp_path) == [4, 6]
    assert newest_checkpoint(tmp_path) == tmp_path / "6"


def test_one_that_cannot_be_removed_ends_no_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuses(path: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(keeping, "remove_directory", refuses)
    few(tmp_path)[2].run()
    assert steps_in(tmp_path) == [0, 2, 4, 6]
    assert f"{tmp_path / '0'} cannot be removed (Permission denied)" in caplog.text


# What is refused


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"every_epochs": 0}, "every_epochs is 0; give a whole number of at least 1"),
        ({"every_steps": 0}, "every_steps is 0; give a whole number of at least 1"),
        ({"every_seconds": 0}, "every_seconds is 0; give a number above 0"),
        ({"every_seconds": float("nan")}, "every_seconds is nan; give a number above 0"),
        ({"keep_last": 0}, "keep_last is 0; give a whole number of at least 1"),
        ({"keep_best": -1}, "keep_best is -1; give a whole number of at least 0"),
        ({"keep_best": 2}, "keep_best is 2, but metric is None; give its tag"),
        ({"metric": "val/loss", "mode": "mim"}, "mode is 'mim'; did you mean min?"),
        ({"metric": "mine"}, "mode is None, but the direction of 'mine' is not known"),
    ],
)
def test_refuses_values_out_of_range(given: dict[str, Any], told: str) -> None:
    with pytest.raises(ll.ArgumentError) as refused:
        ll.Checkpointer(ll.Counter(), "checkpoints", **given)
    assert str(refused.value).startswith(told)


def test_refuses_a_metric_that_nobody_reports(tmp_path: Path) -> None:
    parts = tiny()
    loss = ll.TrainLoss(tag="train/loss")
    checkpoints = ll.Checkpointer(
        parts.counter, tmp_path, metric="train/los", mode="min", sources=loss
    )
    with pytest.raises(ll.ArgumentError, match=r"no source .* did you mean train/loss\?"):
        parts.trained(loss, checkpoints)


def test_a_disk_without_room_is_told_before_the_first_step(tmp_path: Path) -> None:
    (tmp_path / "checkpoints").touch()
    counter, _, host = few(tmp_path / "checkpoints")
    with pytest.raises(ll.DataError, match=r"checkpoints/0 cannot be saved .*: it needs \d+ bytes"):
        host.run()
    assert counter.steps == 0


def test_a_removal_that_the_disk_refuses_once_is_made_up_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rmdir, refused = os.rmdir, []

    def refusing_once(path: Any, **given: Any) -> None:
        if not refused:
            refused.append(path)
            raise OSError(errno.EIO, "Input/output error")
        rmdir(path, **given)

    monkeypatch.setattr(os, "rmdir", refusing_once)
    checkpoints = ll.Checkpointer(ll.Counter(), tmp_path, keep_last=1)
    for steps in (1, 2):
        checkpoints.counter.steps = steps
        checkpoints.epoch_end().save({"stop_reason": None})

    assert refused
    assert [path.name for path in tmp_path.iterdir()] == ["2"]
