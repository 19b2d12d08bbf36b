"""A training loop made of bricks, for people who run many PyTorch experiments.

The public names stand in ``__init__.pyi``; each is imported on first use, so that
``import legoloop`` costs nothing heavy.
"""

import lazy_loader

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
