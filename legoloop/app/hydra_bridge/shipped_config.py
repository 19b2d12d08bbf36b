"""Where the configuration groups that ship are found."""

from __future__ import annotations

from pathlib import Path

import legoloop

CONFIG_NAME = "config"
SETTINGS_NAME = "legoloop_settings"
"""The entry of the defaults list that stands for the top-level settings."""
SETTINGS_FILE = "legoloop/app/config/settings.py"


def shipped_config_dir() -> Path:
    """The folder with ``config.yaml``: in the package, or beside it in a checkout.

    Never looked up by module name: from the root of a checkout, the checkout's ``legoloop``
    shadows an installed wheel and has no ``legoloop.conf``.
    """
    package = Path(legoloop.__file__).parent
    places = (package / "conf", package.parent / "conf")
    return next(place for place in places if (place / f"{CONFIG_NAME}.yaml").is_file())


def register_settings() -> None:
    """Let Hydra find the defaults and the help texts of the top-level settings."""
    from hydra.core.config_store import ConfigStore
    from omegaconf import OmegaConf

    from legoloop.app.config.settings import defaults, help_text

    ConfigStore.instance().store(SETTINGS_NAME, defaults(), provider=SETTINGS_FILE)
    OmegaConf.register_new_resolver(SETTINGS_NAME, help_text, replace=True)
