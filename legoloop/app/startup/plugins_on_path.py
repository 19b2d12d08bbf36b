"""Hydra's plugins of an editable install."""

from __future__ import annotations

import sys
from pathlib import Path

import legoloop


def plugins_on_path() -> None:
    """Let Hydra see our sweeper and launchers where legoloop is installed with ``pip install -e``.

    Hydra lists the folders called ``hydra_plugins`` on the path. Such an install imports packages
    from the checkout, whose folder is not on the path.
    """
    root = Path(legoloop.__file__).parent.parent
    if (root / "hydra_plugins").is_dir() and str(root) not in sys.path:
        sys.path.append(str(root))
