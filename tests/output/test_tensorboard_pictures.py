from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import legoloop as ll
from legoloop.state.checkpoints import read_checkpoint, write_checkpoint


class Told:
    def scalars(self) -> dict[str, float]:
        return {}


def reported(board: ll.TensorBoard, *steps: int) -> ll.TensorBoard:
    for board.counter.steps in steps:
        board.epoch_end()
    return board


class Shown:
    """Has a picture of one colour."""

    def __init__(self) -> None:
        self.colour: int | None = None

    def images(self) -> dict[str, Any]:
        if self.colour is None:
            return {}
        return {"picture": np.full((2, 3, 3), self.colour, np.uint8)}


def pictures(folder: Path) -> list[tuple[int, int, int, bytes]]:
    events = EventAccumulator(str(folder), size_guidance={"images": 0}).Reload()
    if "picture" not in events.Tags()["images"]:
        return []
    return [
        (event.step, event.width, event.height, event.encoded_image_string)
        for event in events.Images("picture")
    ]


def with_pictures(folder: Path) -> tuple[ll.TensorBoard, Shown]:
    shown = Shown()
    return ll.TensorBoard(ll.Counter(), Told(), folder, images=shown), shown


def test_pictures_are_there_once_a_step_pixel_by_pixel(tmp_path: Path) -> None:
    board, shown = with_pictures(tmp_path)
    board.epoch_end()
    assert list(tmp_path.iterdir()) == []
    for step, shown.colour in ((1, 10), (2, 20)):
        reported(board, step)
        board.train_end()

    (one, *size, content), (two, *_) = pictures(tmp_path)
    board.close()

    assert (one, two, *size) == (1, 2, 3, 2)
    with Image.open(BytesIO(content)) as picture:
        assert np.asarray(picture).tolist() == np.full((2, 3, 3), 10).tolist()


def test_a_resumed_run_has_each_picture_once(tmp_path: Path) -> None:
    board, shown = with_pictures(tmp_path)
    shown.colour = 10
    reported(board, 1)
    write_checkpoint(tmp_path / "saved", board.state_dict())
    before = pictures(tmp_path)
    reported(board, 2).close()

    board, shown = with_pictures(tmp_path)
    board.load_state_dict(read_checkpoint(tmp_path / "saved"))
    board.train_start()
    assert pictures(tmp_path) == before
    shown.colour = 20
    reported(board, 1, 2).close()

    assert [step for step, *_ in pictures(tmp_path)] == [1, 2]
    assert pictures(tmp_path)[:1] == before
