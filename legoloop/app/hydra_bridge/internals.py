"""All of Hydra that is not its public API, in one place.

Each function names what it uses; ``tests/app/hydra_bridge/test_internals.py`` has a test for each,
so that a new version of Hydra that changes one of them is noticed by name.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Any, NoReturn

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.config_repository import IConfigRepository
from hydra._internal.config_search_path_impl import ConfigSearchPathImpl
from hydra._internal.hydra import Hydra
from hydra._internal.utils import create_config_search_path, get_args_parser
from hydra.core.object_type import ObjectType
from hydra.core.override_parser.types import Override
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn, JobStatus
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict

from legoloop.core.errors import ConfigError

ConfigLoader = ConfigLoaderImpl
Repository = IConfigRepository
SearchPath = ConfigSearchPathImpl

COMPOSE_ONCE = "LEGOLOOP_COMPOSE_ONCE"
"""The environment variable that switches the two context managers here off, with 0."""


class ArgumentsRefused(Exception):
    """A command line that Hydra's parser does not take."""


def parse_arguments(arguments: Sequence[str]) -> Any:
    """A command line as Hydra reads it: ``overrides``, ``config_dir``, ``config_name`` …

    Flags may stand anywhere among the overrides. Raises ArgumentsRefused for flags that Hydra does
    not know, where Hydra ends the process.
    """
    parser = get_args_parser()

    def refuse(message: str) -> NoReturn:
        raise ArgumentsRefused(message)

    parser.error = refuse  # type: ignore[method-assign]
    return parser.parse_intermixed_args(list(arguments))


def flags_last(arguments: Sequence[str]) -> list[str]:
    """A command line with its flags behind its overrides, which Hydra takes in one piece only.

    >>> flags_last(["data=xor", "-m", "-cd", "conf", "seed=1,2"])
    ['data=xor', 'seed=1,2', '--multirun', '--config-dir=conf']
    """
    given = parse_arguments(arguments)
    flags = []
    for action in get_args_parser()._actions:
        value = getattr(given, action.dest, action.default)
        if action.option_strings and value != action.default:
            name = max(action.option_strings, key=len)
            flags.append(name if action.nargs == 0 else f"{name}={value}")
    return [*given.overrides, *flags]


FLAGS = tuple(get_args_parser()._option_string_actions)
"""The flags of Hydra's command line."""


def find_plugins() -> None:
    """Import all plugins of Hydra that are installed, as Hydra does when it starts."""
    create_config_search_path(None)


def config_repository(
    loader: ConfigLoader, config_name: str | None, overrides: Sequence[str]
) -> Repository:
    """All configuration files that a loader finds, those under ``hydra.searchpath`` too."""
    _, repository = loader._parse_overrides_and_create_caching_repo(config_name, list(overrides))
    return repository


def groups_chosen_by(defaults: Any) -> dict[str, list[str]]:
    """The groups whose options the files of a defaults list override, by the files' config paths.

    Args:
        defaults: what the config loader's ``compute_defaults_list`` gives.
    """
    chosen: dict[str, list[str]] = {}
    for group, override in defaults.overrides.override_metadata.items():
        if not override.external_override:
            chosen.setdefault(override.containing_config_path, []).append(group)
    return chosen


def apply_overrides(overrides: Sequence[Override], tree: DictConfig) -> None:
    """Set the values of overrides in a composed tree, as Hydra does after composing it."""
    ConfigLoaderImpl._apply_overrides_to_config(list(overrides), tree)


def grid(overrides: list[Override], most: int) -> list[list[str]]:
    """The overrides of each job of a sweep: every combination of the values.

    Raises ConfigError if there are more than ``most``.
    """
    swept = [each for each in overrides if each.is_sweep_override()]
    jobs = 1
    for each in swept:
        jobs *= sum(1 for _ in islice(each.sweep_iterator(), most + 1))
        if jobs > most:
            raise ConfigError(
                f"makes more than {most:,} jobs", key=each.key_or_group, remedy="give fewer values"
            )
    from hydra._internal.core_plugins.basic_sweeper import BasicSweeper

    return [list(job) for batch in BasicSweeper.split_arguments(overrides, None) for job in batch]


def instantiate_plugin(node: DictConfig) -> Any:
    """The plugin of Hydra that a node under ``hydra`` names."""
    return Plugins.instance()._instantiate(node)


def is_known_plugin(target: str) -> bool:
    """Whether Hydra has found a plugin of this name."""
    return target in Plugins.instance().class_name_to_class


def runs_one_at_a_time(launcher: Any) -> bool:
    """Whether it is Hydra's own launcher, which carries out the jobs in this process."""
    from hydra._internal.core_plugins.basic_launcher import BasicLauncher

    return isinstance(launcher, BasicLauncher)


def failed_job(overrides: Sequence[str], error: Exception) -> JobReturn:
    """What Hydra returns for a job that raised an error."""
    returned = JobReturn(overrides=overrides, status=JobStatus.FAILED)
    returned._return_value = error
    return returned


@contextmanager
def composed_once() -> Iterator[None]:
    """While inside, Hydra runs what it composed to learn whether the command is a run.

    It composes twice otherwise, once for ``hydra.mode`` and once to run: 0.15 s of a start.
    ``LEGOLOOP_COMPOSE_ONCE=0`` switches this off.
    """
    if os.environ.get(COMPOSE_ONCE) == "0":
        yield
        return
    by_hydra = Hydra.get_mode

    def get_mode(hydra: Hydra, config_name: str | None, overrides: list[str]) -> RunMode | None:
        loader: Any = hydra.config_loader
        try:
            config = loader.load_configuration(config_name, overrides, RunMode.RUN)
        except Exception:  # such as values to sweep over: composed for a multirun then
            return by_hydra(hydra, config_name, overrides)  # type: ignore[no-any-return]
        return _hand_out_next(loader, config)

    Hydra.get_mode = get_mode  # type: ignore[assignment, method-assign]
    try:
        yield
    finally:
        Hydra.get_mode = by_hydra  # type: ignore[method-assign]


@contextmanager
def groups_listed_once() -> Iterator[None]:
    """While inside, Hydra looks for configuration files once to list the options of all groups.

    It copies its sources for each group otherwise: half of what ``--help`` takes.
    ``LEGOLOOP_COMPOSE_ONCE=0`` switches this off.
    """
    if os.environ.get(COMPOSE_ONCE) == "0":
        yield
        return
    by_hydra = ConfigLoaderImpl.get_group_options
    found: dict[Any, Repository] = {}

    def get_group_options(
        loader: ConfigLoaderImpl,
        group_name: str,
        results_filter: ObjectType | None = ObjectType.CONFIG,
        config_name: str | None = None,
        overrides: list[str] | None = None,
    ) -> list[str]:
        key = (id(loader), config_name, tuple(overrides or ()))
        if key not in found:
            found[key] = config_repository(loader, config_name, overrides or ())
        return found[key].get_group_options(group_name, results_filter)

    ConfigLoaderImpl.get_group_options = get_group_options  # type: ignore[assignment, method-assign]
    try:
        yield
    finally:
        ConfigLoaderImpl.get_group_options = by_hydra  # type: ignore[method-assign]


def _hand_out_next(loader: Any, config: DictConfig) -> RunMode | None:
    """Let the loader give this configuration when it is next asked for a run's."""
    mode: RunMode | None = config.hydra.mode

    def load_configuration(*args: Any, run_mode: RunMode, **kwargs: Any) -> Any:
        del loader.load_configuration
        if run_mode is not RunMode.RUN:
            return loader.load_configuration(*args, run_mode=run_mode, **kwargs)
        if mode is None:  # Hydra adds that to the overrides, having asked
            config.hydra.mode = RunMode.RUN
            config.hydra.overrides.hydra.append("hydra.mode=RUN")
        return config

    loader.load_configuration = load_configuration
    return mode


def copy_resolver_cache(source: DictConfig, target: DictConfig) -> None:
    """Let values such as ``${now:…}`` resolve in a job as they did in its sweep."""
    OmegaConf.copy_cache(from_config=source, to_config=target)


def set_task_overrides(config: DictConfig, lines: Sequence[str], parsed: list[Override]) -> None:
    """Record in a composed configuration which overrides it was composed with."""
    from hydra._internal.config_loader_impl import get_overrides_dirname

    with open_dict(config.hydra):
        config.hydra.overrides.task = list(lines)
        settings = config.hydra.job.config.override_dirname
        config.hydra.job.override_dirname = get_overrides_dirname(
            overrides=parsed,
            kv_sep=settings.kv_sep,
            item_sep=settings.item_sep,
            exclude_keys=settings.exclude_keys,
        )
