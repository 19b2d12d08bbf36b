"""Base class of the loggers that write one text file."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable
from contextlib import nullcontext
from pathlib import Path

from legoloop.core.atomic_files import atomic_write
from legoloop.core.errors import DataError
from legoloop.core.protocols import Scalars, ScalarSource, TrainingProgress
from legoloop.output.scalars.scalar_writer import ScalarWriter
from legoloop.output.scalars.throttle import Throttle

INDEX_COLUMNS = ("step", "epoch")
"""The first columns of a report, which no scalar may be named."""
MAX_WRITE_FRACTION = 0.01
"""The share of a run's time that may go into writing the file before the end."""


class ScalarFile(ScalarWriter):
    """Base class for loggers whose file is replaced atomically: a reader never sees half a report.

    Subclasses define ``lines()`` and call ``mark_dirty()`` at the end of ``write``. Reports that
    follow each other quickly are written together; at a checkpoint and at the end of the training
    the file always has all of them.

    Args:
        path: the file; missing folders are created.
        counter: tells step and epoch.
        sources: one or several plugins with ``scalars()``.
        every_steps: also write after every so many steps; None: only at the end of epochs.

    Raises:
        ArgumentError: for a source without ``scalars()``, or ``every_steps`` below 1.
        DataError: for a scalar named ``step`` or ``epoch``, or if the file cannot be written.

    >>> import tempfile
    >>> from legoloop.training.counter import Counter
    >>> class Half:
    ...     def scalars(self): return {"half": 0.5}
    >>> class Tags(ScalarFile):
    ...     def write(self, step, scalars): self.tags = scalars; self.mark_dirty()
    ...     def lines(self): yield from self.tags
    >>> path = Path(tempfile.mkdtemp()) / "tags.txt"
    >>> Tags(path, Counter(), Half()).epoch_end()
    >>> path.read_text()
    'half'
    """

    def __init__(
        self,
        path: str | Path,
        counter: TrainingProgress,
        sources: ScalarSource | Iterable[ScalarSource],
        every_steps: int | None = None,
    ) -> None:
        super().__init__(counter, sources, every_steps)
        self.path = Path(path)
        self._dirty = False  # some reports are not in the file yet
        self._durable = True  # what is in the file is on the disk
        self._throttle = Throttle(MAX_WRITE_FRACTION)

    @abstractmethod
    def lines(self) -> Iterable[str]:
        """The whole content of the file; nothing if there is no report yet."""

    def mark_dirty(self) -> None:
        """There is a new report: write the file now if that is due, else later."""
        self._dirty = True
        if self._throttle.is_due():
            self.write_file()

    def flush(self) -> None:
        """Write the file if a report is missing from it, or may be if the power fails."""
        if self._dirty or not self._durable:
            self.write_file()

    def restore(self) -> None:
        """Replace the file by the reports of the loaded state; without any, remove it."""
        if any(True for _ in self.lines()):
            self.write_file()
        else:
            self.path.unlink(missing_ok=True)

    def write_file(self, durable: bool = True) -> None:
        """Replace the file, for which the disk is waited for if it is to be durable."""
        # Not appended to: a kill or a full disk could leave half a line in the file.
        with (
            self._throttle.timed() if durable else nullcontext(),
            atomic_write(self.path, durable) as temporary,
            temporary.open("w", newline="") as file,
        ):
            file.writelines(self.lines())
        self._dirty, self._durable = False, durable

    def flush_for_checkpoint(self) -> None:
        """As ``flush``, without waiting for the disk: a resumed run writes the file anew."""
        if self._dirty:
            self.write_file(durable=False)

    def _read_sources(self, evaluated_alone: bool) -> Scalars:
        scalars = super()._read_sources(evaluated_alone)
        for tag in INDEX_COLUMNS:
            if tag in scalars:
                raise DataError(
                    f"a source reports '{tag}', which is a column of {self.path.name} already; "
                    "set a prefix for it"
                )
        return scalars
