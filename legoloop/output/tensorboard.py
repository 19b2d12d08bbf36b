"""Scalars for TensorBoard."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from legoloop.core.contracts import Counts, Scalars, Source
from legoloop.output.scalar_writer import ScalarWriter

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter


class TensorBoard(ScalarWriter):
    """Writes the scalars of ``acc_metrics``, a source or several, as TensorBoard events.

    The event file is made with the first scalar. Floats there are 32-bit: exact numbers are in
    ``metrics.csv``.

    >>> import tempfile
    >>> from legoloop.training.counter import Counter
    >>> class Half:
    ...     def scalars(self): return {"half": 0.5}
    >>> board = TensorBoard(Counter(), Half(), tempfile.mkdtemp())
    >>> board.epoch_end()
    >>> board.close()
    """

    def __init__(
        self, counter: Counts, acc_metrics: Source | Iterable[Source], logs_dir: str | Path
    ) -> None:
        super().__init__(counter, acc_metrics)
        self.logs_dir = Path(logs_dir)
        self._events: SummaryWriter | None = None

    def write(self, step: int, scalars: Scalars) -> None:
        """One event a scalar, on disk when this returns."""
        events = self._opened()
        for tag, value in scalars.items():
            events.add_scalar(tag, value, step)
        events.flush()

    def close(self) -> None:
        """Close the event file."""
        if self._events is not None:
            self._events.close()
            self._events = None

    def _opened(self) -> SummaryWriter:
        if self._events is None:
            from torch.utils.tensorboard import SummaryWriter

            self._events = SummaryWriter(str(self.logs_dir))
        return self._events
