"""A source for the tests of those that read one."""

from __future__ import annotations

from typing import Any


class Told:
    """A source that says what it is told to say."""

    def __init__(self, **scalars: Any) -> None:
        self.now = scalars

    def scalars(self) -> dict[str, Any]:
        return self.now
