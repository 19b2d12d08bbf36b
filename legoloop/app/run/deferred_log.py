"""What is logged before a run has its log."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager

log = logging.getLogger("legoloop")


class DeferredLog(logging.Handler):
    """Keeps what is logged until the run's log is set up.

    >>> deferred = DeferredLog()
    >>> with deferred.keeping():
    ...     log.warning("the newest checkpoint is damaged")
    >>> [record.getMessage() for record in deferred.records]
    ['the newest checkpoint is damaged']
    """

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a record."""
        self.records.append(record)

    @contextmanager
    def keeping(self) -> Iterator[None]:
        """Keep what is logged inside; where an error ends it, tell it on stderr."""
        propagates, log.propagate = log.propagate, False
        log.addHandler(self)
        try:
            yield
        except BaseException:
            for record in self.records:
                print(f"{record.levelname.lower()}: {record.getMessage()}", file=sys.stderr)
            raise
        finally:
            log.removeHandler(self)
            log.propagate = propagates

    def write(self) -> None:
        """Log what was kept."""
        while self.records:
            log.handle(self.records.pop(0))
