from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import legoloop as ll
from legoloop.core.variation import Variation
from legoloop.output.scalars.tensorboard import sorted_last
from tests.tiny import accuracy, tiny
from tests.told import Told


def read_back(folder: Path) -> dict[str, list[tuple[int, float]]]:
    events = EventAccumulator(str(folder), size_guidance={"scalars": 0})
    events.Reload()
    return {
        tag: [(event.step, event.value) for event in events.Scalars(tag)]
        for tag in events.Tags()["scalars"]
    }


def test_has_each_step_and_tag_once_with_the_numbers_of_the_history(tmp_path: Path) -> None:
    parts = tiny(num_epochs=3)
    loops, loaders = parts.loops_acc(), parts.loaders_acc()
    sources = [
        ll.TrainLoss(),
        ll.LearningRateMonitor(parts.opt),
        ll.AccumulatorMetrics(loops, accuracy),
        ll.AccumulatorMetrics(loaders, accuracy, prefix="final/"),
    ]
    history = ll.History(parts.counter, sources)
    board = ll.TensorBoard(parts.counter, sources, tmp_path / "logs")

    parts.host(board, history, *sources, loops, loaders).run()

    expected: dict[str, list[tuple[int, float]]] = {}
    for step, scalars in history.rows.items():
        for tag, value in scalars.items():
            expected.setdefault(tag, []).append((step, float(np.float32(value))))
    told = read_back(tmp_path / "logs")
    assert told == {sorted_last(tag): values for tag, values in expected.items()}
    assert [step for step, _ in told["lr"]] == [6, 12, 18]
    assert [step for step, _ in told["~final/val/accuracy"]] == [18]
    assert sorted(told)[-2:] == ["~final/train/accuracy", "~final/val/accuracy"]


def test_scalars_are_on_disk_before_it_is_closed(tmp_path: Path) -> None:
    rate = ll.LearningRateMonitor(tiny().opt)
    board = ll.TensorBoard(ll.Counter(), acc_metrics=rate, logs_dir=tmp_path)

    board.epoch_end()

    assert read_back(tmp_path) == {"lr": [(0, float(np.float32(0.01)))]}
    board.close()


def test_makes_no_file_without_a_scalar(tmp_path: Path) -> None:
    board = ll.TensorBoard(ll.Counter(), ll.TrainLoss(), tmp_path / "logs")
    board.epoch_end()
    board.close()
    assert not (tmp_path / "logs").exists()


def test_may_be_closed_twice_and_after_a_run_that_failed(tmp_path: Path) -> None:
    class Fails:
        after = ("TensorBoard",)

        def epoch_end(self) -> None:
            raise RuntimeError("on purpose")

    parts = tiny()
    loss = ll.TrainLoss()
    board = ll.TensorBoard(parts.counter, loss, tmp_path)
    with pytest.raises(RuntimeError, match="on purpose"):
        parts.host(loss, board, Fails()).run()
    board.close()

    assert [step for step, _ in read_back(tmp_path)["loss"]] == [6]


SWEEP = Path("/sweeps/lr")


def written_of(folder: Path, variation: Variation | None, **more: Any) -> Path:
    """The folder of the event file of a run that reports a metric of an epoch, and a final one."""
    source = Told(**{"final/train/accuracy": 1.0, "final/val/accuracy": 0.5, "loss": 1.0})
    board = ll.TensorBoard(ll.Counter(), source, folder, variation=variation, **more)
    board.train_end()
    board.close()
    (file,) = folder.rglob("*.legoloop")
    return file.parent


def hparams_page(folder: Path) -> tuple[dict[str, list[Any]], list[str]]:
    """What TensorBoard itself makes of the runs in a folder: settings by key, and the metrics."""
    from tensorboard.backend.event_processing.data_provider import MultiplexerDataProvider
    from tensorboard.backend.event_processing.plugin_event_multiplexer import EventMultiplexer
    from tensorboard.context import RequestContext
    from tensorboard.plugins.base_plugin import TBContext
    from tensorboard.plugins.hparams.backend_context import Context
    from tensorboard.plugins.hparams.metadata import (
        SESSION_START_INFO_TAG,
        parse_session_start_info_plugin_data,
    )

    runs = EventMultiplexer().AddRunsFromDirectory(str(folder)).Reload()
    page = Context(TBContext(data_provider=MultiplexerDataProvider(runs, str(folder))))
    request = RequestContext()
    sessions = page.hparams_metadata(request, "")
    experiment = page.experiment_from_metadata(request, "", True, sessions, [])
    settings: dict[str, list[Any]] = {info.name: [] for info in experiment.hparam_infos}
    for run in sorted(sessions):
        told = parse_session_start_info_plugin_data(sessions[run][SESSION_START_INFO_TAG])
        for key, value in told.hparams.items():
            settings[key].append(value.number_value or value.string_value)
    return settings, [metric.name.tag for metric in experiment.metric_infos]


def test_the_hparams_page_compares_what_varied_by_the_metrics_of_the_end(tmp_path: Path) -> None:
    for job, rate in enumerate((0.1, 0.2)):
        varied = Variation({"optimizer.lr": rate, "model": f"m{job}"}, SWEEP)
        written_of(tmp_path / str(job) / "logs", varied, hparams={"width": 8, "no": None})
    settings, metrics = hparams_page(tmp_path)
    assert settings == {"optimizer.lr": [0.1, 0.2], "model": ["m0", "m1"], "width": [8, 8]}
    assert metrics == ["~final/val/accuracy", "~final/train/accuracy"]


def test_the_hparams_page_has_the_overrides_of_each_single_run(tmp_path: Path) -> None:
    written_of(tmp_path / "a", Variation({"seed": 1.0}))
    written_of(tmp_path / "b", Variation({"optimizer.lr": 0.1}))
    settings, metrics = hparams_page(tmp_path)
    assert settings == {"seed": [1.0], "optimizer.lr": [0.1]}
    assert set(metrics) == {"~final/train/accuracy", "~final/val/accuracy", "loss"}


def test_without_anything_that_varied_there_is_nothing_to_compare(tmp_path: Path) -> None:
    written_of(tmp_path, None)
    assert hparams_page(tmp_path) == ({}, [])


def test_the_folder_of_a_job_says_what_varied(tmp_path: Path) -> None:
    varied = {"optimizer.lr": 0.1, "data.root": "/data"}
    assert written_of(tmp_path / "0", Variation(varied, SWEEP)).name == "lr=0.1,root=_data"
    assert written_of(tmp_path / "1", Variation({}, SWEEP)) == tmp_path / "1"
    assert written_of(tmp_path / "2", Variation(varied)) == tmp_path / "2", "a run of its own"
    named = written_of(tmp_path / "3", Variation(varied, SWEEP), run_name="first/try")
    assert named == tmp_path / "3" / "first_try"


def test_a_job_that_is_resumed_with_other_values_leaves_one_file(tmp_path: Path) -> None:
    first = ll.TensorBoard(
        ll.Counter(), Told(a=0.5), tmp_path, variation=Variation({"lr": 0.1}, SWEEP)
    )
    state = copy.deepcopy(reported(first, 1).state_dict())
    second = ll.TensorBoard(
        ll.Counter(), Told(a=0.5), tmp_path, variation=Variation({"lr": 0.2}, SWEEP)
    )
    second.load_state_dict(state)
    second.train_start()
    second.close()
    assert [file.parent.name for file in tmp_path.rglob("*.legoloop")] == ["lr=0.2"]


def reported(board: ll.TensorBoard, *steps: int) -> ll.TensorBoard:
    for board.counter.steps in steps:
        board.epoch_end()
    return board


def killed_after(folder: Path, saved: int, lost: int) -> dict[str, Any]:
    """The state at one step of an attempt that went on to another."""
    board = reported(ll.TensorBoard(ll.Counter(), Told(a=0.5), folder), saved)
    state = copy.deepcopy(board.state_dict())
    reported(board, lost).close()
    return state


def test_a_resumed_run_replaces_the_files_of_the_attempts_before(tmp_path: Path) -> None:
    board = ll.TensorBoard(ll.Counter(), Told(a=0.5), tmp_path)
    board.load_state_dict(killed_after(tmp_path, saved=1, lost=2))
    (left,) = tmp_path.iterdir()

    board.train_start()
    assert read_back(tmp_path) == {"a": [(1, 0.5)]}
    assert not left.exists()
    reported(board, 2, 3).close()

    assert read_back(tmp_path) == {"a": [(1, 0.5), (2, 0.5), (3, 0.5)]}
    assert len(list(tmp_path.iterdir())) == 1


def test_it_takes_away_what_was_written_after_a_state_without_a_scalar(tmp_path: Path) -> None:
    state = ll.TensorBoard(ll.Counter(), Told(a=0.5), tmp_path).state_dict()
    killed_after(tmp_path, saved=1, lost=2)
    board = ll.TensorBoard(ll.Counter(), Told(a=0.5), tmp_path)
    board.load_state_dict(state)
    board.train_start()
    assert list(tmp_path.iterdir()) == []


def test_events_keep_the_time_at_which_they_were_written(tmp_path: Path) -> None:
    def times() -> list[float]:
        events = EventAccumulator(str(tmp_path)).Reload()
        return [event.wall_time for event in events.Scalars("a")]

    state = killed_after(tmp_path, saved=1, lost=2)
    before = times()
    board = ll.TensorBoard(ll.Counter(), Told(), tmp_path)
    board.load_state_dict(state)
    board.train_start()

    assert times() == before[:1]
    board.close()


def test_it_leaves_alone_what_others_wrote_into_the_folder(tmp_path: Path) -> None:
    from torch.utils.tensorboard import SummaryWriter

    state = killed_after(tmp_path, saved=1, lost=2)
    SummaryWriter(str(tmp_path)).close()
    (tmp_path / "notes.txt").write_text("mine")
    (ours,) = tmp_path.glob("*.legoloop")
    others = set(tmp_path.iterdir()) - {ours}

    board = ll.TensorBoard(ll.Counter(), Told(), tmp_path)
    board.load_state_dict(state)
    board.train_start()
    board.close()

    assert others < set(tmp_path.iterdir())
    assert not ours.exists()


def test_a_fresh_run_takes_nothing_away(tmp_path: Path) -> None:
    killed_after(tmp_path, saved=1, lost=2)
    left = set(tmp_path.iterdir())

    board = ll.TensorBoard(ll.Counter(), Told(a=0.5), tmp_path)
    board.train_start()
    reported(board, 1).close()

    assert left < set(tmp_path.iterdir())


def test_two_of_them_in_one_folder_resume_side_by_side(tmp_path: Path) -> None:
    def both() -> list[ll.TensorBoard]:
        return [ll.TensorBoard(ll.Counter(), Told(**{tag: 0.5}), tmp_path) for tag in "ab"]

    began, resumed = both(), both()
    states = [reported(board, 1, 2).state_dict() for board in began]
    for board, state in zip(resumed, states, strict=True):
        board.load_state_dict(state)
    for board in resumed:
        board.train_start()
    for board in (*began, *resumed):
        board.close()

    found = [read_back(file) for file in tmp_path.iterdir()]
    assert sorted(tag for tags in found for tag in tags) == ["a", "b"]
    assert all(read == [(1, 0.5), (2, 0.5)] for tags in found for read in tags.values())


def test_the_settings_are_told_once_and_are_on_disk_at_once(tmp_path: Path) -> None:
    def sessions() -> int:
        return sum(
            file.read_bytes().count(b"_hparams_/session_start_info") for file in tmp_path.iterdir()
        )

    board = ll.TensorBoard(ll.Counter(), Told(a=0.5), tmp_path, hparams={"lr": 0.1})
    board.train_end()
    once = sessions()
    resumed = ll.TensorBoard(ll.Counter(), Told(a=0.5), tmp_path, hparams={"lr": 0.1})
    resumed.load_state_dict(board.state_dict())
    resumed.train_start()
    resumed.train_end()

    assert once == sessions() > 0
    board.close(), resumed.close()


def test_a_report_is_one_event(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

    reported(ll.TensorBoard(ll.Counter(), Told(a=0.5, b=0.25), tmp_path), 1, 2).close()
    (file,) = tmp_path.iterdir()
    values = [len(event.summary.value) for event in EventFileLoader(str(file)).Load()]
    assert values == [0, 2, 2]  # the first tells the version of the format


def test_reports_within_an_epoch_are_written_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    moments = iter([0.0, 1.0, 9.0, 10.5, 10.5, 10.5, 11.0, 11.0, 11.0])  # two more at each flush
    monkeypatch.setattr("time.monotonic", lambda: next(moments))
    counter, step = ll.Counter(), ll.Step()
    board = ll.TensorBoard(counter, Told(a=0.5), tmp_path, every_steps=1)
    in_file = []
    for counter.steps in (1, 2, 3, 4):
        board.batch_end(step)
        in_file.append(len(read_back(tmp_path).get("a", [])) if any(tmp_path.iterdir()) else 0)

    assert in_file == [0, 0, 3, 3]
    board.close()
    assert read_back(tmp_path) == {"a": [(n, 0.5) for n in (1, 2, 3, 4)]}


def test_a_report_does_not_wait_for_one_that_is_far_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    moments = iter([0.0, 1.0, 9.0, 10.5, 10.5, 10.5])  # two more at the flush
    monkeypatch.setattr("time.monotonic", lambda: next(moments))
    counter, step = ll.Counter(), ll.Step()
    board = ll.TensorBoard(counter, Told(a=0.5), tmp_path, every_steps=4)
    for counter.steps in (4, 5, 6, 7):
        board.batch_end(step)

    assert read_back(tmp_path) == {"a": [(4, 0.5)]}
