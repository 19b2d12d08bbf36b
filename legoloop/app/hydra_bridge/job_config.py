"""What Hydra knows of the job at hand: its tree, its directory, what the user set."""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path
from typing import Any

from hydra._internal.config_repository import IConfigRepository
from hydra.conf import HydraConf
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from legoloop.app.hydra_bridge.shipped_config import CONFIG_NAME
from legoloop.core.errors import ConfigError


def resolve_job_config(config: DictConfig, directory: str | Path) -> DictConfig:
    """Give a composed configuration its run directory; the app's own part of it.

    Hydra does so itself, a moment later and after making the directory; interpolations need it now.
    """
    with read_write(config.hydra.runtime), open_dict(config.hydra.runtime):
        config.hydra.runtime.output_dir = str(Path(directory).absolute())
    HydraConfig.instance().set_config(config)
    tree = config.copy()
    with read_write(tree), open_dict(tree):
        # Bound now: ${hydra:…} follows whatever is composed last.
        tree.run_dir = tree.run_dir
        del tree["hydra"]
    return tree


def run_directory(config: DictConfig) -> Path:
    """Where a run writes: ``hydra.run.dir``.

    Raises ConfigError if a value that it refers to leads out of the folder that it begins with.
    """
    pattern = str(OmegaConf.to_container(config.hydra.run, resolve=False)["dir"])  # type: ignore[call-overload,index]
    directory = Path(os.path.abspath(config.hydra.run.dir))
    root, _, _ = pattern.partition("${")[0].rpartition("/")
    if "${" in pattern and root and Path(os.path.abspath(root)) not in directory.parents:
        raise ConfigError(
            f"hydra.run.dir: {pattern} leads to {directory}, which is not in {root}; "
            "a value in it holds .. or begins with /"
        )
    return directory


def written(hydra: HydraConf | DictConfig) -> list[str]:
    """The overrides of a job as the user wrote them, nothing in them resolved.

    Those of Hydra's own settings are not among them.
    """
    return _as_they_are(hydra.overrides.task)


def all_overrides(hydra: HydraConf | DictConfig) -> list[str]:
    """The overrides of a job, those of Hydra's own settings first."""
    return [*_as_they_are(hydra.overrides.hydra), *written(hydra)]


def repository(overrides: list[str], config_name: str = CONFIG_NAME) -> IConfigRepository:
    """All files that the Hydra at work finds, those under ``hydra.searchpath`` too."""
    where = tuple(text for text in overrides if "searchpath" in text)
    return _repository(GlobalHydra.instance().config_loader(), where, config_name)


@lru_cache(maxsize=1)
def _repository(loader: Any, where: tuple[str, ...], config_name: str) -> IConfigRepository:
    """Found once for all jobs of a sweep: it takes reading files."""
    _, found = loader._parse_overrides_and_create_caching_repo(config_name, list(where))
    return found  # type: ignore[no-any-return]


def search_path(folder: Path) -> str:
    """The override that lets Hydra find a folder of groups, whatever its name.

    >>> search_path(Path("/mine/a, b"))
    "hydra.searchpath=['file:///mine/a, b']"
    """
    return f"hydra.searchpath=[{quoted(f'file://{folder.absolute()}')}]"


def quoted(text: str) -> str:
    """A text as a value of an override, whatever is in it.

    >>> quoted("it's")
    "'it\\\\'s'"
    """
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _as_they_are(overrides: Any) -> list[str]:
    return list(OmegaConf.to_container(overrides, resolve=False))  # type: ignore[arg-type]
