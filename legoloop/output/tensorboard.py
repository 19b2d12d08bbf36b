"""Scalars for TensorBoard."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from legoloop.core.contracts import Counts, Scalars, Source
from legoloop.output.scalar_writer import ScalarWriter

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter


class TensorBoard(ScalarWriter):
    """Writes the scalars of ``acc_metrics``, a source or several, as TensorBoard events.

    ``hparams`` are the settings by which the HParams page compares runs, with the scalars at the
    end as their outcome. The event file is made with the first scalar. Floats there are 32-bit:
    exact numbers are in ``metrics.csv``.

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
        counter: Counts,
        acc_metrics: Source | Iterable[Source],
        logs_dir: str | Path,
        hparams: Mapping[str, str | float | None] | None = None,
    ) -> None:
        super().__init__(counter, acc_metrics)
        self.logs_dir = Path(logs_dir)
        self.hparams = {key: value for key, value in (hparams or {}).items() if value is not None}
        self._last: Scalars = {}
        self._events: SummaryWriter | None = None

    def write(self, step: int, scalars: Scalars) -> None:
        """One event a scalar, on disk when this returns."""
        events = self._opened()
        for tag, value in scalars.items():
            events.add_scalar(tag, value, step)
        events.flush()
        self._last.update(scalars)

    def train_end(self) -> None:
        """Report what was measured at the end, and what came of the settings."""
        super().train_end()
        if self.hparams:
            from torch.utils.tensorboard.summary import hparams

            # Not add_hparams: it opens a second file and writes every scalar once more.
            writer: Any = self._opened().file_writer
            for summary in hparams(self.hparams, self._last):  # type: ignore[no-untyped-call]
                writer.add_summary(summary)

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
