from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import legoloop as ll
from legoloop.state.checkpoints import MANIFEST, STATE, read_checkpoint, write_checkpoint
from tests.tiny import Noisy, Tiny, accuracy, tiny, weights

EPOCHS = 4


def a_run(folder: Path) -> tuple[Tiny, ll.TrainingHost]:
    """A run with everything that keeps state."""
    parts = tiny(num_epochs=EPOCHS, epoch_size=10, dataset=Noisy())
    acc = parts.loaders_acc(at="epoch_end")
    metrics = ll.AccumulatorMetrics(acc, accuracy)
    sources = [metrics, loss := ll.TrainLoss()]
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(parts.opt, T_max=11)
    return parts, parts.host(
        acc,
        *sources,
        ll.LrScheduler(scheduler, parts.counter, per="step"),
        ll.EarlyStopping(loss, "loss", patience=100),
        ll.History(parts.counter, sources),
        ll.CsvMetrics(folder / "metrics.csv", parts.counter, sources),
        ll.EpochCheckpoints(parts.counter, folder / "checkpoints"),
    )


RESUME = """
import sys
from pathlib import Path
from legoloop.state.checkpoints import read_checkpoint
from tests.state.test_checkpoints import a_run
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


def steps_kept(folder: Path) -> list[int]:
    return sorted(int(kept.name) for kept in (folder / "checkpoints").iterdir())


def test_keeps_every_epoch(whole: tuple[Path, bytes]) -> None:
    folder, _ = whole
    assert len(steps_kept(folder)) == EPOCHS


@pytest.mark.parametrize("epoch", range(EPOCHS))
def test_resuming_in_another_host_ends_with_the_same_bits(
    whole: tuple[Path, bytes], tmp_path: Path, epoch: int
) -> None:
    folder, expected = whole
    step = steps_kept(folder)[epoch]
    torch.rand(7), np.random.rand(3)  # whatever happened before

    parts, host = a_run(tmp_path)
    host.load_state_dict(read_checkpoint(folder / "checkpoints" / str(step)))
    host.run()

    assert weights(parts.model) == expected
    assert (tmp_path / "metrics.csv").read_text() == (folder / "metrics.csv").read_text() or (
        epoch == EPOCHS - 1  # then there was nothing left to report
    )


def test_resuming_in_another_process_ends_with_the_same_bits(whole: tuple[Path, bytes]) -> None:
    folder, expected = whole
    root = Path(__file__).parents[2]
    command = [sys.executable, "-W", "error", "-c", RESUME, str(folder), str(steps_kept(folder)[0])]

    subprocess.run(command, check=True, cwd=root)

    assert (folder / "resumed").read_bytes() == expected


def test_saving_changes_nothing(tmp_path: Path) -> None:
    parts = tiny()
    assert parts.trained(ll.EpochCheckpoints(parts.counter, tmp_path)) == tiny().trained()


@pytest.mark.parametrize(("every", "steps"), [(1, [6, 12, 18]), (2, [12]), (4, [])])
def test_saves_every_so_many_epochs(tmp_path: Path, every: int, steps: list[int]) -> None:
    parts = tiny(num_epochs=3)
    parts.trained(ll.EpochCheckpoints(parts.counter, tmp_path, every))
    assert sorted(int(kept.name) for kept in tmp_path.iterdir()) == steps


def test_holds_what_every_plugin_heard_of_the_stage(tmp_path: Path) -> None:
    parts = tiny(num_epochs=1)
    checkpoints = ll.EpochCheckpoints(parts.counter, tmp_path)
    loss = ll.TrainLoss()
    history = ll.History(parts.counter, loss)

    parts.host(checkpoints, history, loss).run()

    state = read_checkpoint(tmp_path / "6")
    assert state["plugins"]["History"]["rows"] == history.rows != {}


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    folder = tmp_path / "3"
    write_checkpoint(folder, {"weight": torch.arange(100.0), "epoch": 3})
    return folder


def flipped(file: Path, position: int) -> None:
    content = bytearray(file.read_bytes())
    content[position] ^= 1
    file.write_bytes(content)


def test_the_manifest_lists_size_and_digest(checkpoint: Path) -> None:
    facts = json.loads((checkpoint / MANIFEST).read_text())[STATE]
    assert facts["bytes"] == (checkpoint / STATE).stat().st_size
    assert len(facts["sha256"]) == 64


@pytest.mark.parametrize("part", [0.0, 0.3, 0.6, 0.999])
def test_refuses_a_flipped_bit(checkpoint: Path, part: float) -> None:
    flipped(checkpoint / STATE, int(part * (checkpoint / STATE).stat().st_size))
    with pytest.raises(ll.DataError, match=r"state.pt is damaged: it is not the file"):
        read_checkpoint(checkpoint)


def test_refuses_a_truncated_or_missing_file(checkpoint: Path) -> None:
    content = (checkpoint / STATE).read_bytes()
    (checkpoint / STATE).write_bytes(content[:-1])
    with pytest.raises(ll.DataError, match=r"state.pt is damaged"):
        read_checkpoint(checkpoint)
    (checkpoint / STATE).unlink()
    with pytest.raises(ll.DataError, match=r"state.pt is damaged"):
        read_checkpoint(checkpoint)


@pytest.mark.parametrize("text", ["", "{", "{}", "[]", "3", '{"other.pt": {}}', '{"state.pt": {}}'])
def test_refuses_a_damaged_manifest(checkpoint: Path, text: str) -> None:
    (checkpoint / MANIFEST).write_text(text)
    with pytest.raises(ll.DataError, match="is damaged: it"):
        read_checkpoint(checkpoint)


def test_refuses_a_manifest_with_any_bit_flipped(checkpoint: Path) -> None:
    manifest = checkpoint / MANIFEST
    whole = manifest.read_bytes()
    for position in range(len(whole)):
        flipped(manifest, position)
        try:
            state = read_checkpoint(checkpoint)
        except ll.DataError:
            pass
        else:  # only white space may differ
            assert json.loads(manifest.read_bytes()) == json.loads(whole)
            assert state["epoch"] == 3
        manifest.write_bytes(whole)


def test_refuses_a_folder_that_is_no_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(ll.DataError, match=r"is no checkpoint: it has no manifest.json"):
        read_checkpoint(tmp_path)


@pytest.mark.parametrize("foreign", [np.float64(0.5), np.arange(3), Path("x")])
def test_refuses_to_save_what_could_not_be_read_back(tmp_path: Path, foreign: Any) -> None:
    with pytest.raises(ll.DataError, match=r"a plugin's state holds .*could not be read back"):
        write_checkpoint(tmp_path / "3", {"best": foreign})
    assert list(tmp_path.iterdir()) == []


def test_replaces_an_older_one_of_the_same_step(checkpoint: Path) -> None:
    write_checkpoint(checkpoint, {"epoch": 4})
    assert read_checkpoint(checkpoint) == {"epoch": 4}


def test_refuses_to_save_less_often_than_every_epoch() -> None:
    with pytest.raises(ll.ArgumentError, match="every is 0; give a whole number of at least 1"):
        ll.EpochCheckpoints(ll.Counter(), "checkpoints", every=0)
