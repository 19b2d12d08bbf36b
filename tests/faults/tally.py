"""How many faults of a kind were tried, and what came of those that were not survived."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass
class Tally:
    """Counts faults; a fault without a problem was survived."""

    tried: int = 0
    problems: list[str] = field(default_factory=list)

    def count(self, fault: str, problem: str | None) -> None:
        """One more."""
        self.tried += 1
        if problem is not None:
            self.problems.append(f"{fault}: {problem}")

    @property
    def survived(self) -> int:
        """Those without a problem."""
        return self.tried - len(self.problems)


@dataclass(frozen=True)
class Row:
    """A row of the table: a family of faults, and what tries them, more of them if ``long``."""

    fault: str
    passes_when: str
    tries: Callable[[bool], Tally]

    @property
    def name(self) -> str:
        """What it is called on the command line."""
        return self.tries.__name__
