"""Compare runs and sweeps: ``load(*folders)`` for pandas, or ``python -m legoloop.results``."""

from legoloop.results.frames import Results, load

__all__ = ["Results", "load"]
