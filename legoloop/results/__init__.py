"""What many runs left behind, side by side: ``load(*folders)``, or the command of this name."""

from legoloop.results.frames import Results, load

__all__ = ["Results", "load"]
