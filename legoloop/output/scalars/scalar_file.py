"""A file that holds every report of a run."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable
from pathlib import Path
from time import monotonic

from legoloop.core.atomic_files import atomic_write
from legoloop.core.errors import DataError
from legoloop.core.protocols import Scalars, ScalarSource, TrainingProgress
from legoloop.output.scalars.scalar_writer import ScalarWriter

PLACE = ("step", "epoch")
"""What a report begins with."""
SHARE = 0.01
"""Of the time of a run at most so much goes into writing the file before the end."""


class ScalarFile(ScalarWriter):
    """A writer whose file is whole whenever it is looked at, and written anew for new reports.

    Subclasses define ``lines()`` and call ``reported()`` at the end of ``write``. Reports that
    follow each other quickly are put on the disk together, those up to a checkpoint and to the end
    of the run always. Raises DataError for a scalar named ``step`` or ``epoch``, as a report
    begins with these.

    >>> import tempfile
    >>> from legoloop.training.counter import Counter
    >>> class Half:
    ...     def scalars(self): return {"half": 0.5}
    >>> class Tags(ScalarFile):
    ...     def write(self, step, scalars): self.tags = scalars; self.reported()
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
        self._is_behind = False  # the file does not have all the reports
        self._due = monotonic()

    @abstractmethod
    def lines(self) -> Iterable[str]:
        """All of the file."""

    def reported(self) -> None:
        """There is something new; the file has it when it is time to write."""
        self._is_behind = True
        if monotonic() >= self._due:
            self.write_file()

    def catch_up(self) -> None:
        """The file has all the reports."""
        if self._is_behind:
            self.write_file()

    def write_file(self) -> None:
        """Write it now."""
        began = monotonic()
        # Not appended to: a line that a kill or a full disk cuts short would be in the file.
        with atomic_write(self.path) as draft, draft.open("w", newline="") as file:
            file.writelines(self.lines())
        self._is_behind = False
        now = monotonic()
        self._due = now + (now - began) / SHARE

    def _collected(self) -> Scalars:
        scalars = super()._collected()
        for tag in PLACE:
            if tag in scalars:
                raise DataError(
                    f"a source reports '{tag}', which is a column of {self.path.name} already; "
                    "give it a prefix"
                )
        return scalars
