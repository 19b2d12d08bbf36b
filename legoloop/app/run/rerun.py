"""``rerun=RUN``: the record of a run as the configuration that Hydra composes from.

``rerun=RUN`` changes the primary configuration and nothing else. Overrides, sweeps, Hydra's flags
and settings, the checks and the messages then are what they are for any run.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import hydra
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.types import RunMode
from omegaconf import OmegaConf

from legoloop.app.config.binding import is_node
from legoloop.app.config.components import component_paths
from legoloop.app.config.paths import Tree, get_path
from legoloop.app.config.settings import COLLECTIONS, COMPONENTS, LAUNCH_KEYS, defaults
from legoloop.app.hydra_bridge.internals import Repository, parse_arguments
from legoloop.app.hydra_bridge.key_origin import repository
from legoloop.app.hydra_bridge.overrides import is_value, parse_overrides, search_path
from legoloop.app.hydra_bridge.recorded_config import recorded_tree
from legoloop.app.hydra_bridge.shipped_config import (
    CONFIG_NAME,
    SETTINGS_NAME,
    shipped_config_dir,
)
from legoloop.app.run.config_differences import read_recorded
from legoloop.core.errors import ConfigError
from legoloop.core.run_directory import CONFIG

RERUN = "rerun"
RECORDED = "_recorded_run"
"""The name under which Hydra finds the record."""

GROUPS = ("data", *COMPONENTS, *COLLECTIONS)


def primary_config(arguments: Sequence[str]) -> str:
    """The name of the configuration that Hydra composes from: the one that ships, or a record.

    Raises ConfigError if ``rerun`` names no run, or its record is damaged.
    """
    given = parse_arguments(arguments)
    if given.config_name is not None:
        raise ConfigError("stands in the place of a --config-name; leave that out", key=RERUN)
    search = [] if given.config_dir is None else [search_path(Path(given.config_dir))]
    return primary_config_of([*given.overrides, *search])


def primary_config_of(overrides: Sequence[str]) -> str:
    """As ``primary_config``, of overrides among which are those of the search path."""
    run = recorded_run(overrides)
    if run is None:
        return CONFIG_NAME
    _store(run, overrides)
    return RECORDED


def recorded_run(overrides: Sequence[str]) -> Path | None:
    """The run directory that the overrides name with ``rerun``.

    Raises ConfigError for several of them.

    >>> recorded_run(["seed=1", "rerun='outputs/a run'"])
    PosixPath('outputs/a run')
    """
    named = None
    for override in parse_overrides(overrides):
        if override.key_or_group == RERUN and not override.is_delete():
            value = override.value()
            if not (value is None or (isinstance(value, str) and value)):
                raise ConfigError(
                    f"is {override.get_value_string()!r}; give one run directory", key=RERUN
                )
            named = value
    return None if named is None else Path(named)


def _as_primary(run: Path) -> dict[str, Any]:
    """The record in the form of ``config.yaml``, whose groups are left open.

    How the run was launched is not repeated, and its files are not touched.
    """
    ships: Any = OmegaConf.to_container(
        OmegaConf.load(shipped_config_dir() / f"{CONFIG_NAME}.yaml")
    )
    recorded: Any = OmegaConf.to_container(recorded_tree(run))
    read_recorded(run)
    mine = {key: value for key, value in recorded.items() if key not in LAUNCH_KEYS}
    return {
        "defaults": [_open(entry) for entry in ships["defaults"] if entry != SETTINGS_NAME],
        "hydra": ships["hydra"],
        **{key: value for key, value in defaults().items() if key in LAUNCH_KEYS},
        **mine,
    }


def _open(entry: Any) -> Any:
    """An entry of a defaults list; one that chooses among the options of a group chooses none."""
    if not isinstance(entry, dict) or any(key.startswith("override ") for key in entry):
        return entry
    return {group: [] if isinstance(choice, list) else None for group, choice in entry.items()}


def _store(run: Path, overrides: Sequence[str]) -> None:
    """Let Hydra find the record, without the components whose place chosen options take."""
    primary = _as_primary(run)
    store = partial(ConfigStore.instance().store, RECORDED, provider=str(run / CONFIG))
    store(primary)
    with hydra.initialize_config_dir(str(shipped_config_dir()), version_base="1.3"):
        taken = list(_taken_places(list(overrides)))
    for path in taken:
        *above, name = path.split(".")
        node = primary
        for key in above:
            node = node.get(key) or {}
        node.pop(name, None)
    store(primary)


def _taken_places(overrides: list[str]) -> Iterator[str]:
    """The paths of the components that the options of the chosen groups may give."""
    found = repository(overrides, RECORDED)
    for group in sorted(_chosen_groups(overrides, found).intersection(GROUPS)):
        if group not in COLLECTIONS:
            yield group
        for name in found.get_group_options(group):
            option: Any = found.load_config(f"{group}/{name}")
            is_global = option.header["package"] == "_global_"
            values: Any = OmegaConf.to_container(option.config)
            yield from _whole_components(values if is_global else {group: values})


def _chosen_groups(overrides: list[str], found: Repository) -> set[str]:
    """The groups that the overrides choose from, by name or through an option that does."""
    chosen = set()
    for override in parse_overrides(overrides):
        if not is_value(override, found):
            chosen.add(override.key_or_group)
            if override.is_sweep_override():
                raise ConfigError(
                    f"{override.input_line}: a sweep with {RERUN} goes over keys, not options; "
                    "choose one option"
                )
    loader = GlobalHydra.instance().config_loader()
    defaults = loader.compute_defaults_list(RECORDED, overrides, RunMode.MULTIRUN).defaults
    return chosen | {(entry.config_path or "").rpartition("/")[0] for entry in defaults}


def _whole_components(tree: Tree) -> Iterator[str]:
    return (path for _, path in component_paths(tree) if is_node(get_path(tree, path)))
