"""The scalars of a run, kept in memory."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from legoloop.core.growing_state import as_text, from_text
from legoloop.core.protocols import Scalars, ScalarSource, TrainingProgress
from legoloop.loop.plugin import State
from legoloop.output.scalars.scalar_writer import ScalarWriter

if TYPE_CHECKING:
    import pandas as pd


class History(ScalarWriter):
    """Keeps scalars in memory: ``rows`` has them by step and tag, ``frame()`` as a pandas table.

    Args:
        counter: tells the step.
        sources: one or several plugins with ``scalars()``.
        every_steps: also keep them after every so many steps; None: only at the end of epochs.

    Raises:
        ArgumentError: for a source without ``scalars()``, or ``every_steps`` below 1.
        DataError: if two sources report the same tag.

    >>> from legoloop.training.counter import Counter
    >>> class Half:
    ...     def scalars(self): return {"half": 0.5}
    >>> history = History(Counter(), Half())
    >>> history.epoch_end()
    >>> history.rows
    {0: {'half': 0.5}}
    """

    def __init__(
        self,
        counter: TrainingProgress,
        sources: ScalarSource | Iterable[ScalarSource],
        every_steps: int | None = None,
    ) -> None:
        super().__init__(counter, sources, every_steps)
        self.rows: dict[int, Scalars] = {}

    def write(self, step: int, scalars: Scalars) -> None:
        """Complete the row of this step."""
        self.rows.setdefault(step, {}).update(scalars)

    def frame(self) -> pd.DataFrame:
        """A row for each step, which is the index, and a column for each scalar."""
        import pandas as pd

        return pd.DataFrame.from_dict(self.rows, orient="index").rename_axis("step")

    def state_dict(self) -> State:
        return {**super().state_dict(), "rows": as_text([*self.rows.items()])}

    def load_state_dict(self, state: State) -> None:
        super().load_state_dict(state)
        self.rows = dict(from_text(state["rows"]))
