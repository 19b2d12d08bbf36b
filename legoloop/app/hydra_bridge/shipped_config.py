"""Where the configuration groups that ship are found."""

from __future__ import annotations

from pathlib import Path

import legoloop

CONFIG_NAME = "config"


def shipped_config_dir() -> Path:
    """The folder with ``config.yaml``: in the package, or beside it in a checkout.

    Never looked up by module name: from the root of a checkout, the checkout's ``legoloop``
    shadows an installed wheel and has no ``legoloop.conf``.
    """
    package = Path(legoloop.__file__).parent
    places = (package / "conf", package.parent / "conf")
    return next(place for place in places if (place / f"{CONFIG_NAME}.yaml").is_file())
