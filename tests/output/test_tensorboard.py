from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import legoloop as ll
from tests.tiny import accuracy, tiny


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
        ll.LearningRate(parts.opt),
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
    assert read_back(tmp_path / "logs") == expected
    assert [step for step, _ in expected["lr"]] == [6, 12, 18]
    assert [step for step, _ in expected["final/val/accuracy"]] == [18]


def test_scalars_are_on_disk_before_it_is_closed(tmp_path: Path) -> None:
    rate = ll.LearningRate(tiny().opt)
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


def test_the_hparams_page_has_the_settings_and_the_metrics(tmp_path: Path) -> None:
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

    class Half:
        def scalars(self) -> dict[str, float]:
            return {"final/val/accuracy": 0.5}

    board = ll.TensorBoard(
        ll.Counter(), Half(), tmp_path, hparams={"lr": 0.1, "model": "a", "no": None}
    )
    board.train_end()
    board.close()
    (file,) = tmp_path.iterdir()
    events = EventAccumulator(str(file)).Reload()

    def told(tag: str) -> HParamsPluginData:
        content = events.SummaryMetadata(f"_hparams_/{tag}").plugin_data.content
        return HParamsPluginData.FromString(content)

    settings = told("session_start_info").session_start_info.hparams
    assert settings["lr"].number_value == 0.1
    assert settings["model"].string_value == "a"
    assert set(settings) == {"lr", "model"}
    (metric,) = told("experiment").experiment.metric_infos
    assert metric.name.tag == "final/val/accuracy"
    assert [event.value for event in events.Scalars("final/val/accuracy")] == [0.5]
