"""The exception for Ctrl-C and for signals that ask a process to end."""

from __future__ import annotations

import signal


class Interrupted(KeyboardInterrupt):
    """A signal asked the run to end; it can be resumed.

    Args:
        number (int): the number of the signal.

    >>> Interrupted(signal.SIGTERM).status, Interrupted(signal.SIGINT).status
    (143, 130)
    >>> print(Interrupted(signal.SIGUSR1))
    SIGUSR1
    """

    def __init__(self, number: int = signal.SIGINT) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number

    @property
    def status(self) -> int:
        """The exit status of a process that it ends: 130 for Ctrl-C, 143 for any other signal."""
        return 128 + (signal.SIGINT if self.number == signal.SIGINT else signal.SIGTERM)
