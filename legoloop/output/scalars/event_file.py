"""A file of TensorBoard events."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping
from io import BytesIO
from itertools import count
from pathlib import Path
from typing import Any

from legoloop.output.images import size_of

_numbers = count()


class EventFile:
    """A new event file in a folder; what is added reaches the disk with ``flush()``.

    Written in the calling thread. TensorBoard's own writer uses a thread of its own, which takes
    four times as long to hand an event over to, reports disk errors late, and breaks forking.
    """

    def __init__(self, folder: Path, suffix: str) -> None:
        from tensorboard.compat.proto.event_pb2 import Event  # type: ignore[import-untyped]
        from tensorboard.compat.proto.summary_pb2 import (  # type: ignore[import-untyped]
            Summary,
        )
        from tensorboard.summary.writer.record_writer import (  # type: ignore[import-untyped]
            RecordWriter,
        )

        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / f"events.out.tfevents.{_unique()}{suffix}"
        self._event, self._summary = Event, Summary
        self._added = BytesIO()
        self._records = RecordWriter(self._added)
        self._write(Event(wall_time=time.time(), file_version="brain.Event:2"))
        self.flush()  # creates the file, so that a resumed run can find and replace it

    def add_scalars(self, scalars: Mapping[str, float], step: int, when: float) -> None:
        """Add an event of this step; ``when`` is in seconds since 1970."""
        values = [self._summary.Value(tag=tag, simple_value=v) for tag, v in scalars.items()]
        self.add(self._summary(value=values), step, when)

    def add_picture(self, tag: str, png: bytes, step: int, when: float) -> None:
        """Add an image, encoded as PNG."""
        width, height = size_of(png)
        image = self._summary.Image(
            height=height, width=width, colorspace=3, encoded_image_string=png
        )
        self.add(self._summary(value=[self._summary.Value(tag=tag, image=image)]), step, when)

    def add(self, summary: Any, step: int, when: float) -> None:
        """Add a summary that one of TensorBoard's functions has made."""
        self._write(self._event(summary=summary, step=step, wall_time=when))

    def flush(self) -> None:
        """Append what was added to the file.

        Raises OSError if it cannot be written; what was added is lost then.
        """
        added = self._added.getvalue()
        if not added:
            return
        self._added.seek(0)
        self._added.truncate()
        with self.path.open("ab") as file:
            file.write(added)

    def _write(self, event: Any) -> None:
        self._records.write(event.SerializeToString())


def _unique() -> str:
    """A name like TensorBoard's own, which reads event files in the order of their names."""
    return f"{int(time.time()):010d}.{socket.gethostname()}.{os.getpid()}.{next(_numbers)}"
