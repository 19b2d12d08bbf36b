"""Scalars, images and hyperparameters for TensorBoard."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path

import torch

from legoloop.core.atomic_files import describe_os_error
from legoloop.core.errors import DataError
from legoloop.core.growing_state import as_text, from_text
from legoloop.core.protocols import Scalars, ScalarSource, TrainingProgress
from legoloop.core.variation import Variation
from legoloop.loop.plugin import State
from legoloop.loop.step import Step
from legoloop.output.images import ImageSource, png
from legoloop.output.scalars.event_file import EventFile
from legoloop.output.scalars.scalar_file import MAX_WRITE_FRACTION
from legoloop.output.scalars.scalar_writer import ScalarWriter
from legoloop.output.scalars.throttle import Throttle

SUFFIX = ".legoloop"
"""Ends the names of our event files; those of other writers in the folder are left alone."""
FINAL = "final/"
"""Begins the tags of what is evaluated once, at the end."""
FLUSH_SECONDS = 10.0
"""How long a report may wait, within an epoch, before it is in the file."""


class TensorBoard(ScalarWriter):
    """Writes scalars, images and hyperparameters to a TensorBoard event file.

    The file is created with the first scalar or image. TensorBoard stores 32-bit floats; exact
    numbers are in ``metrics.csv``. A resumed run replaces the event files of earlier attempts by
    one, so that each scalar and image is there once. ``final/val/loss`` is ``~final/val/loss``
    here: TensorBoard sorts by name, and these cards, a dot each, come after the curves.

    Args:
        counter: tells the step.
        acc_metrics: one or several plugins with ``scalars()``.
        logs_dir: the folder of the event file; with a name, or in a job of a sweep, of a folder
            that is called by the name, or what varied: TensorBoard names runs by their folders.
        hparams: settings by which TensorBoard's HParams page compares runs, beside those that
            vary. Settings that are None are left out.
        every_steps: also write scalars after every so many steps; None: only at the end of epochs.
        images: one or several plugins with ``images()``, such as a ConfusionMatrix; read after
            each epoch and at the end of the training.
        variation: what varied: the settings by which the HParams page compares runs. The outcome
            is the metrics of ``final/``, or without any the last value of each scalar.
        run_name: the name of the run; None: it has none.

    Raises:
        ArgumentError: for a source without ``scalars()``, or ``every_steps`` below 1.
        DataError: if two sources report the same tag, or the folder cannot be written.

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
        variation: Variation | None = None,
        run_name: str | None = None,
    ) -> None:
        super().__init__(counter, acc_metrics, every_steps)
        self.logs_dir = Path(logs_dir)
        self.variation = variation or Variation()
        self.run_name = run_name
        settings = {**self.variation.values, **(hparams or {})}
        self.hparams = {key: value for key, value in settings.items() if value is not None}
        self._record: list[tuple[str, float, int, float]] = []  # tag, value, step, when
        self._in_file = 0  # so many of them
        self._throttle = Throttle(MAX_WRITE_FRACTION, min_interval=FLUSH_SECONDS)
        self.images = [images] if isinstance(images, ImageSource) else list(images)
        self._pictures: list[tuple[str, torch.Tensor, int, float]] = []  # tag, PNG, step, when
        self._hparams_written = False
        self._stale_files: list[Path] = []
        self._events: EventFile | None = None

    def restore(self) -> None:
        """Write one file with the loaded state, then remove those of earlier attempts."""
        self._add_pictures(self._pictures)
        if self._hparams_written:
            self._write_hparams()
        self.flush()
        for file in self._stale_files:
            file.unlink(missing_ok=True)
        self._stale_files = []

    def batch_end(self, step: Step) -> None:
        super().batch_end(step)
        if self._in_file < len(self._record) and self._throttle.is_due():
            self.flush()

    def write(self, step: int, scalars: Scalars) -> None:
        """Buffer one event."""
        now = time.time()
        self._record += [(sorted_last(tag), value, step, now) for tag, value in scalars.items()]

    def within_epoch(self) -> None:
        super().within_epoch()
        self._report_pictures()

    def epoch_end(self) -> None:
        super().epoch_end()
        self._report_pictures()
        self.flush()

    def train_end(self) -> None:
        self._report()
        self._report_pictures()
        if self.hparams and not self._hparams_written:
            self._write_hparams()
            self._hparams_written = True
        self.flush()

    def state_dict(self) -> State:
        return {
            **super().state_dict(),
            "record": as_text(self._record),
            "pictures": self._pictures,
            "hparams_written": self._hparams_written,
        }

    def load_state_dict(self, state: State) -> None:
        super().load_state_dict(state)
        self._record = [tuple(event) for event in from_text(state["record"])]
        self._pictures = [tuple(picture) for picture in state["pictures"]]
        self._hparams_written = state["hparams_written"]
        self._stale_files = list(self.logs_dir.rglob(f"events.out.tfevents.*{SUFFIX}"))

    def flush(self) -> None:
        """Write all events to the file: many at once take less time than each by itself."""
        new, self._in_file = self._record[self._in_file :], len(self._record)
        with self._throttle.timed(), self._reporting_disk_errors():
            for (step, when), report in groupby(new, key=lambda event: event[2:]):
                scalars = {tag: value for tag, value, *_ in report}
                self._event_file().add_scalars(scalars, step, when)
            if self._events is not None:
                self._events.flush()

    @contextmanager
    def _reporting_disk_errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise DataError(
                f"{self.logs_dir} cannot be written ({describe_os_error(self.logs_dir, error)})"
            ) from error

    def _report_pictures(self) -> None:
        """Each tag once per step, as with scalars."""
        step, now = self.counter.steps, time.time()
        written = {tag for tag, _, of_step, _ in self._pictures if of_step == step}
        images = {tag: image for source in self.images for tag, image in source.images().items()}
        new = [
            (tag, torch.frombuffer(bytearray(png(image)), dtype=torch.uint8), step, now)
            for tag, image in images.items()
            if tag not in written
        ]
        self._add_pictures(new)
        self._pictures += new

    def _add_pictures(self, pictures: Iterable[tuple[str, torch.Tensor, int, float]]) -> None:
        with self._reporting_disk_errors():
            for tag, encoded, step, when in pictures:
                self._event_file().add_picture(tag, encoded.numpy().tobytes(), step, when)

    def _write_hparams(self) -> None:
        from torch.utils.tensorboard.summary import hparams

        outcome = {tag: value for tag, value, _, _ in self._record}
        final = {tag: outcome[tag] for tag in outcome if tag.startswith(sorted_last(FINAL))}
        # The page shows the first few: those of the data that was not trained on.
        compared = sorted(final or outcome, key=lambda tag: "train/" in tag)
        # Not SummaryWriter.add_hparams: it opens a second file and writes every scalar again.
        experiment, *session = hparams(  # type: ignore[no-untyped-call]
            self.hparams, {tag: outcome[tag] for tag in compared}
        )
        # TensorBoard takes the keys of the first experiment that it finds for those of all runs.
        have_same_keys = self.variation.sweep is not None
        with self._reporting_disk_errors():
            for summary in [experiment, *session] if have_same_keys else session:
                self._event_file().add(summary, step=0, when=time.time())

    def _event_file(self) -> EventFile:
        if self._events is None:
            varied = self.variation.folder if self.variation.sweep is not None else ""
            name = (self.run_name or varied).replace("/", "_")
            self._events = EventFile(self.logs_dir / name, SUFFIX)
        return self._events


def sorted_last(tag: str) -> str:
    """The tag under which TensorBoard shows a scalar; those of the end come last.

    >>> sorted_last("final/val/accuracy"), sorted_last("val/accuracy")
    ('~final/val/accuracy', 'val/accuracy')
    """
    return f"~{tag}" if tag.startswith(FINAL) else tag
