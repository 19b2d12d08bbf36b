"""The message of an error that composing a configuration raised: one line, with a remedy."""

from __future__ import annotations

import codecs
import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf import DictConfig, ListConfig
from omegaconf.errors import (
    ConfigKeyError,
    GrammarParseError,
    InterpolationKeyError,
    OmegaConfBaseException,
)
from yaml import MarkedYAMLError
from yaml.reader import ReaderError

from legoloop.app.config.paths import is_under
from legoloop.app.config.settings import COMMAND_LINE, TOP_LEVEL
from legoloop.app.hydra_bridge.hydra_mistakes import explained, nested_group
from legoloop.app.hydra_bridge.key_origin import where_set
from legoloop.app.hydra_bridge.override_repair import in_a_shell, is_key, repaired
from legoloop.app.hydra_bridge.overrides import parse_overrides
from legoloop.app.hydra_bridge.shipped_config import shipped_config_dir
from legoloop.core.errors import ConfigError
from legoloop.core.suggestions import did_you_mean
from legoloop.core.text import shown


def as_config_error(
    error: BaseException, config: DictConfig | None = None, overrides: Sequence[str] = ()
) -> ConfigError:
    """A mistake in the configuration, whoever found it, as an error of ours.

    Args:
        error: what Hydra, OmegaConf, the YAML parser or the checks raised.
        config: the composed tree, Hydra's part included: with it, the message also says where
            the key was set.
        overrides: those that were given, for the message to tell what to type instead.
    """
    if (misplaced := _without_package(config)) is not None:
        return misplaced
    if isinstance(error, ConfigError):
        if error.key is None or error.where is not None:
            return error
        return error.located(where=where_set(error.key, config))
    if isinstance(error, MissingConfigException):
        return _no_such_option(error)
    if isinstance(error, OverrideParseException):
        return _not_read(error, overrides)
    cause = error.__cause__
    if "HydraConfig was not set" in f"{error}{cause}" and (meant := _run_directory(overrides)):
        return meant
    if isinstance(error, HydraException) and isinstance(cause, ConfigKeyError | AttributeError):
        return _no_such_key(error, cause, overrides)
    if isinstance(error, HydraException) and isinstance(cause, OmegaConfBaseException):
        if not str(error):
            return as_config_error(cause, config, overrides)
        if "raised while composing" in str(error):
            return explained(str(error), overrides)
        return _not_merged(_first_line(error), _first_line(cause))
    if isinstance(error, InterpolationKeyError) and (deleted := _deleted(error, overrides)):
        return deleted
    if isinstance(error, OmegaConfBaseException) and (key := error.full_key or _broken(config)):
        return ConfigError(_first_line(error), key=key, where=where_set(key, config))
    if isinstance(error, MarkedYAMLError) and (mark := error.problem_mark):
        return ConfigError(
            f"{mark.name}, line {mark.line + 1}: not YAML that can be read: {error.problem}"
        )
    if isinstance(error, ReaderError):
        return ConfigError(f"{error.name}: not YAML that can be read: {error.reason}")
    if isinstance(error, UnicodeDecodeError):
        line = error.object[: error.end].rpartition(b"\n")[2]
        return ConfigError(
            f"a configuration file is not text in UTF-8, where it says {shown(line)}",
            remedy="save it as UTF-8",
        )
    if isinstance(error, RecursionError):
        return ConfigError(
            "configuration files name each other in their defaults lists, or a value is nested "
            "too deeply"
        )
    if isinstance(error, HydraException | ValueError | GrammarParseError | OSError) and str(error):
        return explained(str(error), overrides)
    return ConfigError(_first_line(error))


def format_error(
    error: BaseException, config: DictConfig | None = None, overrides: Sequence[str] = ()
) -> str:
    """The message of ``as_config_error``."""
    return str(as_config_error(error, config, overrides))


def _not_read(error: OverrideParseException, overrides: Sequence[str]) -> ConfigError:
    """An override that Hydra cannot parse, with the one that was probably meant."""
    override, problem = error.override, "is not an override"
    key, equals, value = override.partition("=")
    if evaluated := re.search(r"while evaluating '.*': (.*)", str(error)):
        problem = f"{problem} ({evaluated[1]})"
    if not override.isprintable():
        remedy = "leave out what is not printable"
    elif (meant := repaired(override, overrides)) is not None:
        remedy = f"write {meant}"
    elif not is_key(key.strip(":")):
        remedy = "a key is names of letters, digits and _, with a dot between two of them"
    elif not equals:
        remedy = f"write {override.strip(':')}=…"
    elif "${" in value:
        remedy = "close its ${, or write \\${ for a text"
    else:
        remedy = "close what it opens, and quote what is a text: key='value'"
    return ConfigError(problem, key=override, remedy=remedy)


def _not_merged(what: str, why: str) -> ConfigError:
    """A value that does not fit where it is to be set."""
    override = re.fullmatch(r"Error merging override [+~]*(.*?)(=.*)?", what)
    if override is None:
        return ConfigError(f"{what}: {why}")
    key, value = override.groups()
    remedy = None
    if "is not Optional" in why:
        why = "cannot be null"
    elif why.startswith("Cannot merge DictConfig with ListConfig"):
        why = "a list cannot replace a mapping, nor a mapping a list"
        remedy = f"take away what is there first: ~{key} {in_a_shell(f'+{key}{value}')}"
    return ConfigError(why, key=key, where=COMMAND_LINE, remedy=remedy)


def _deleted(error: InterpolationKeyError, overrides: Sequence[str]) -> ConfigError | None:
    """A key that the user deleted, and that another one refers to."""
    wanted = re.match(r"Interpolation key '(.*)' not found", str(error))
    for each in parse_overrides(overrides):
        if wanted and each.is_delete() and is_under(wanted[1], each.key_or_group):
            return ConfigError(
                f"cannot be deleted: {error.full_key} refers to it",
                key=each.key_or_group,
                where=COMMAND_LINE,
                remedy=f"write {each.key_or_group}=…",
            )
    return None


def _run_directory(overrides: Sequence[str]) -> ConfigError | None:
    """A + or ~ before the run directory, for which Hydra asks for the value that is there."""
    for each in parse_overrides(overrides):
        is_of_it = each.key_or_group.partition(".")[0] == "run_dir"
        if is_of_it and (each.is_add() or each.is_delete()):
            return ConfigError(
                "is set by Hydra",
                key="run_dir",
                where=COMMAND_LINE,
                remedy="where a run writes is said with hydra.run.dir, or hydra.sweep.dir",
            )
    return None


def _without_package(config: DictConfig | None) -> ConfigError | None:
    """A file of a group whose values were meant for the top, or None."""
    for group in (key for key in config or () if isinstance(key, str)):
        node = None if group == "hydra" else config._get_node(group)  # type: ignore[union-attr]
        if isinstance(node, DictConfig) and (group not in TOP_LEVEL or group in node):
            where = where_set(group, config)
            if where and where != COMMAND_LINE and Path(where).parent.name == group:
                if _has_byte_order_mark(where):
                    return ConfigError(
                        f"{where}: begins with a byte order mark, so that its first line is lost",
                        remedy="save it as UTF-8 without one",
                    )
                return ConfigError(
                    f"{where}: sets keys below '{group}'",
                    remedy="let it begin with # @package _global_",
                )
    return None


def _has_byte_order_mark(file: str) -> bool:
    try:
        return Path(file).read_bytes().startswith(codecs.BOM_UTF8)
    except OSError:  # it ships in a package
        return False


def _broken(tree: DictConfig | ListConfig | None, path: str = "") -> str | None:
    """The first key whose value refers to what is not there."""
    if tree is None:
        return None
    keys: Iterable[Any] = range(len(tree)) if isinstance(tree, ListConfig) else tree
    for key in keys:
        if key == "hydra":
            continue
        try:
            value = tree[key]
        except OmegaConfBaseException:
            return f"{path}{key}"
        is_inner = isinstance(value, DictConfig | ListConfig)
        if is_inner and (found := _broken(value, f"{path}{key}.")):
            return found
    return None


def _no_such_option(error: MissingConfigException) -> ConfigError:
    group, _, option = (error.missing_cfg_file or "").rpartition("/")
    options = error.options or [file.stem for file in (shipped_config_dir() / group).glob("*.yaml")]
    if (meant := nested_group(error.missing_cfg_file or "", str(error))) is not None:
        return ConfigError(
            f"there is no group {group}",
            remedy=f"groups are named from the top: write - override /{meant}: {option}",
        )
    if not group or not options:
        return explained(str(error))
    return ConfigError(
        "there is no such option",
        key=f"{group}={option}",
        remedy=_beside(group, option)
        or _as_a_list(group, option, options)
        or REMOVED.get(f"{group}={option}")
        or did_you_mean(option, options),
    )


def _as_a_list(group: str, option: str, options: Sequence[str]) -> str | None:
    """What to type for options with a space between them."""
    names = option.split()
    is_list = len(names) > 1 and all(name in options for name in names)
    return f"write {group}=[{','.join(names)}]" if is_list else None


REMOVED = {"hydra/launcher=joblib": "write hydra/launcher=processes hydra.launcher.n_jobs=…"}
"""What to type for an option that there was once."""


def _beside(group: str, option: str) -> str | None:
    """What to type for an option that lies in ``./conf``, where nobody was told to look."""
    file = Path("conf", group, f"{option}.yaml")
    if not os.path.isfile(file):  # False for a name that is too long, too
        return None
    return f"{file} is found with --config-dir conf, or compose(…, config_dir='conf')"


def _no_such_key(
    error: HydraException, cause: BaseException, overrides: Sequence[str]
) -> ConfigError:
    key = getattr(cause, "full_key", None)
    parent = getattr(cause, "parent_node", None)
    if not key or not isinstance(parent, DictConfig):
        return ConfigError(_first_line(error))
    names = [str(name) for name in parent if name != "hydra"]
    above = key.rpartition(".")[0]
    is_sweep = any(parsed.is_sweep_override() for parsed in parse_overrides(overrides))
    if not names and above and not is_sweep:
        return ConfigError(
            f"there is no such key, {above} has none",
            key=key,
            where=COMMAND_LINE,
            remedy=f"write {above}=… as a whole",
        )
    for each in parse_overrides(overrides):
        value = each.value() if each.key_or_group.replace("/", ".") == key else None
        if isinstance(value, str) and (remedy := _beside(each.key_or_group, value)):
            return ConfigError("there is no such key or group", key=key, remedy=remedy)
    # Other jobs of a sweep over groups may have the key: + is for those that do not, ++ for all.
    plus = "++" if is_sweep else "+"
    return ConfigError(
        f"there is no such key or group; to add it, write {plus}{key}=…",
        key=key,
        where=COMMAND_LINE,
        remedy=did_you_mean(key.rpartition(".")[2], names) if names else None,
    )


def _first_line(error: BaseException, otherwise: str | None = None) -> str:
    name = type(error).__name__ if otherwise is None else otherwise
    line = next(iter(str(error).strip().splitlines()), name)
    return line.removeprefix("MissingMandatoryValue while resolving interpolation: ")
