"""What Hydra knows of the job at hand: its tree, its directory, what the user set."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf, open_dict, read_write


def begin_job(config: DictConfig) -> DictConfig:
    """Give a composed configuration its run directory; the app's own part of it.

    Hydra does so itself, a moment later and after making the directory; interpolations need it now.
    """
    with read_write(config.hydra.runtime), open_dict(config.hydra.runtime):
        config.hydra.runtime.output_dir = str(Path(config.hydra.run.dir).absolute())
    HydraConfig.instance().set_config(config)
    tree = config.copy()
    with read_write(tree), open_dict(tree):
        del tree["hydra"]
    return tree


def overrides(hydra: DictConfig) -> list[str]:
    """What the user wrote on the command line, as it was written; Hydra's own settings left out."""
    written: list[str] = OmegaConf.to_container(hydra.overrides.task, resolve=False)  # type: ignore[assignment]
    return written


def set_keys(given: Sequence[str]) -> Iterator[str]:
    """The keys that overrides set, group choices left out."""
    loader = GlobalHydra.instance().config_loader()
    for override in OverridesParser.create().parse_overrides(list(given)):
        if not loader.get_group_options(override.key_or_group):
            yield override.key_or_group
