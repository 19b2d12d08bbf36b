"""The scalars of a run, kept in memory."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from legoloop.core.protocols import Scalars, ScalarSource, TrainingProgress
from legoloop.loop.plugin import State
from legoloop.output.scalars.scalar_writer import ScalarWriter

if TYPE_CHECKING:
    import pandas as pd


class History(ScalarWriter):
    """Keeps the scalars of the sources: ``rows`` by step, ``frame()`` as a table.

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
        """A row a step, indexed by it; a column a scalar."""
        import pandas as pd

        return pd.DataFrame.from_dict(self.rows, orient="index").rename_axis("step")

    def state_dict(self) -> State:
        """The rows."""
        return {**super().state_dict(), "rows": self.rows}

    def load_state_dict(self, state: State) -> None:
        """Go on from these rows."""
        super().load_state_dict(state)
        self.rows = dict(state["rows"])
