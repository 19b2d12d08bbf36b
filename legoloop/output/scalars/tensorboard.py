"""Scalars for TensorBoard."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path

import torch

from legoloop.core.atomic_files import describe_os_error
from legoloop.core.errors import DataError
from legoloop.core.protocols import Scalars, ScalarSource, TrainingProgress
from legoloop.loop.plugin import State
from legoloop.loop.step import Step
from legoloop.output.images import ImageSource, png
from legoloop.output.scalars.event_file import EventFile
from legoloop.output.scalars.scalar_writer import ScalarWriter

SUFFIX = ".legoloop"
"""How the names of our event files end: those of other writers in the folder are left alone."""
LAG = 10.0
"""Seconds that what is written may wait for, within an epoch, before it is in the file."""


class TensorBoard(ScalarWriter):
    """Writes the scalars of ``acc_metrics``, a source or several, as TensorBoard events.

    ``hparams`` are the settings by which the HParams page compares runs, with the scalars at the
    end as their outcome. ``images`` are sources of pictures, such as a ConfusionMatrix, asked at
    the same ends. The event file is made with the first scalar or picture. Floats there are 32-bit:
    exact numbers are in ``metrics.csv``. A resumed run writes one file anew, in place of those
    that the attempts before it left, so that each scalar and picture is there once.

    >>> import tempfile
    >>> from legoloop.training.counter import Counter
    >>> class Half:
    ...     def scalars(self): return {"half": 0.5}
    >>> board = TensorBoard(Counter(), Half(), tempfile.mkdtemp())
    >>> board.epoch_end()
    >>> board.close()
    """

    def __init__(
        self,
        counter: TrainingProgress,
        acc_metrics: ScalarSource | Iterable[ScalarSource],
        logs_dir: str | Path,
        hparams: Mapping[str, str | float | None] | None = None,
        every_steps: int | None = None,
        images: ImageSource | Iterable[ImageSource] = (),
    ) -> None:
        super().__init__(counter, acc_metrics, every_steps)
        self.logs_dir = Path(logs_dir)
        self.hparams = {key: value for key, value in (hparams or {}).items() if value is not None}
        self._record: list[tuple[str, float, int, float]] = []  # tag, value, step, when
        self._in_file = 0  # so many of them
        self._flushed = time.monotonic()
        self.images = [images] if isinstance(images, ImageSource) else list(images)
        self._pictures: list[tuple[str, torch.Tensor, int, float]] = []  # tag, PNG, step, when
        self._has_told_hparams = False
        self._left_over: list[Path] = []
        self._events: EventFile | None = None

    def train_start(self) -> None:
        """Put one file with the state of a resumed run in the place of those that it found."""
        self._add_pictures(self._pictures)
        if self._has_told_hparams:
            self._tell_hparams()
        self.catch_up()
        for file in self._left_over:
            file.unlink(missing_ok=True)
        self._left_over = []

    def batch_end(self, step: Step) -> None:
        """Report the epoch so far, if it is time; what has waited long goes into the file."""
        super().batch_end(step)
        if self._in_file < len(self._record) and time.monotonic() > self._flushed + LAG:
            self.catch_up()

    def write(self, step: int, scalars: Scalars) -> None:
        """One event, in the file by the end of the epoch, or when the state is taken."""
        now = time.time()
        self._record += [(tag, value, step, now) for tag, value in scalars.items()]

    def epoch_end(self) -> None:
        """Report the epoch, in numbers and pictures."""
        super().epoch_end()
        self._report_pictures()
        self.catch_up()

    def train_end(self) -> None:
        """Report what was measured at the end, and what came of the settings."""
        self._report()
        self._report_pictures()
        if self.hparams and not self._has_told_hparams:
            self._tell_hparams()
            self._has_told_hparams = True
        self.catch_up()

    def state_dict(self) -> State:
        """All that was written, which is in the file from here on."""
        return {
            **super().state_dict(),
            "record": self._record,
            "pictures": self._pictures,
            "has_told_hparams": self._has_told_hparams,
        }

    def load_state_dict(self, state: State) -> None:
        """Go on from there; the event files of today are replaced when the training starts."""
        super().load_state_dict(state)
        self._record = [tuple(event) for event in state["record"]]
        self._pictures = [tuple(picture) for picture in state["pictures"]]
        self._has_told_hparams = state["has_told_hparams"]
        self._left_over = list(self.logs_dir.glob(f"events.out.tfevents.*{SUFFIX}"))

    def catch_up(self) -> None:
        """Everything into the file: many reports at once take less than each at its time."""
        new, self._in_file = self._record[self._in_file :], len(self._record)
        with self._told():
            for (step, when), report in groupby(new, key=lambda event: event[2:]):
                scalars = {tag: value for tag, value, *_ in report}
                self._opened().add_scalars(scalars, step, when)
            if self._events is not None:
                self._events.flush()
        self._flushed = time.monotonic()

    @contextmanager
    def _told(self) -> Iterator[None]:
        """A disk that refuses is told with the folder that it refused."""
        try:
            yield
        except OSError as error:
            raise DataError(
                f"{self.logs_dir} cannot be written ({describe_os_error(self.logs_dir, error)})"
            ) from error

    def _report_pictures(self) -> None:
        """Each tag once a step, as it is with scalars."""
        step, now = self.counter.steps, time.time()
        there = {tag for tag, _, at, _ in self._pictures if at == step}
        told = {tag: image for source in self.images for tag, image in source.images().items()}
        new = [
            (tag, torch.frombuffer(bytearray(png(image)), dtype=torch.uint8), step, now)
            for tag, image in told.items()
            if tag not in there
        ]
        self._add_pictures(new)
        self._pictures += new

    def _add_pictures(self, pictures: Iterable[tuple[str, torch.Tensor, int, float]]) -> None:
        with self._told():
            for tag, encoded, step, when in pictures:
                self._opened().add_picture(tag, encoded.numpy().tobytes(), step, when)

    def _tell_hparams(self) -> None:
        from torch.utils.tensorboard.summary import hparams

        outcome = {tag: value for tag, value, _, _ in self._record}
        # Not add_hparams: it opens a second file and writes every scalar once more.
        with self._told():
            for summary in hparams(self.hparams, outcome):  # type: ignore[no-untyped-call]
                self._opened().add(summary, step=0, when=time.time())

    def _opened(self) -> EventFile:
        if self._events is None:
            self._events = EventFile(self.logs_dir, SUFFIX)
        return self._events
