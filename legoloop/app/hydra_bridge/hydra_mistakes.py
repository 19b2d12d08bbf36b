"""Hydra's messages about a mistake of the user's, each with what to type instead.

Hydra says what would be right in later lines, for its own command line, or not at all. A message
that is not in the table is passed on as it is, without its search path.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from omegaconf import DictConfig, OmegaConf

from legoloop.app.config.settings import COMMAND_LINE, TOP_LEVEL
from legoloop.app.hydra_bridge.override_repair import in_a_shell
from legoloop.app.hydra_bridge.overrides import parse_overrides, quote_override
from legoloop.app.hydra_bridge.shipped_config import CONFIG_NAME, shipped_config_dir
from legoloop.core.errors import ConfigError
from legoloop.core.suggestions import did_you_mean
from legoloop.core.text import printable

Match = re.Match[str]
Answer = Callable[[Match, Sequence[str]], ConfigError]


def explained(message: str, overrides: Sequence[str] = ()) -> ConfigError:
    """The error that stands for a message of Hydra's.

    Args:
        message: all of its lines.
        overrides: those that were given, where they are known.

    >>> print(explained("force-add of config groups is not supported: '++model=mlp'"))
    model (command line): is a group, whose option is replaced anyway; write model=mlp
    """
    text = "\n".join(line.strip() for line in message.strip().split("\n"))
    for pattern, answer in _ANSWERS.items():
        if match := re.match(pattern, text):
            return answer(match, overrides)
    return ConfigError("; ".join(filter(None, re.split(_TRAILERS, text)[0].splitlines())))


_TRAILERS = r"\n?(?:Config search path|Search path|See https|full_key:)"


def groups() -> list[str]:
    """The configuration groups that ship."""
    return sorted({file.parent.name for file in shipped_config_dir().glob("*/*.yaml")})


def _given(key: str, problem: str, remedy: str | None = None) -> ConfigError:
    return ConfigError(problem, key=key.lstrip("+~"), where=COMMAND_LINE, remedy=remedy)


def _in_file(name: str, problem: str, remedy: str | None = None) -> ConfigError:
    return ConfigError(f"{name}.yaml: {problem}", remedy=remedy)


def _ambiguous(match: Match, overrides: Sequence[str]) -> ConfigError:
    key, _, value = match[1].partition("=")
    if key in groups():
        return _given(key, "has several options", "add -m for a run of each")
    text, items = f"{key}={quote_override(value)}", f"{key}=[{value}]"
    remedy = f"add -m for a run of each; write {in_a_shell(items)} for a list"
    return _given(key, "has several values", f"{remedy}, {in_a_shell(text)} for a text")


def _already_there(match: Match, overrides: Sequence[str]) -> ConfigError:
    meant = match[2]
    force = f", or {in_a_shell(f'++{meant}')} where it may be missing"
    return _given(match[1], "is there already", f"write {in_a_shell(meant)}{force}")


def _chosen_twice(match: Match, overrides: Sequence[str]) -> ConfigError:
    group = match[1]
    for text in overrides:
        if text.startswith(f"+{group}="):
            return _given(group, "has an option already", f"write {in_a_shell(text[1:])}")
    return ConfigError(
        "has an option already",
        key=group,
        remedy=f"write - override /{group}: … in the defaults",
    )


def _not_in_the_defaults(match: Match, overrides: Sequence[str]) -> ConfigError:
    file, given = match[1], match[2]
    folder = file.rpartition("/")[0] if file else ""
    name = given.partition("@")[0]
    meant = name.removeprefix(f"{folder}/") if folder else name
    problem = f"there is no group '{name}' to override"
    if meant != name:
        remedy = f"groups are named from the top: write - override /{meant}: …"
    elif meant in groups():
        remedy = "let the file begin with # @package _global_"
    else:
        remedy = did_you_mean(meant, groups())
    return _in_file(file, problem, remedy) if file else _given(name, problem, remedy)


def _override_too_early(match: Match, overrides: Sequence[str]) -> ConfigError:
    file, group, option, other = match.groups()
    return _in_file(
        file,
        f"in its defaults list, 'override /{group}: {option}' stands before '{other}'",
        "move it to the end of the list",
    )


def _no_such_key_to_delete(match: Match, overrides: Sequence[str]) -> ConfigError:
    key = match[1]
    if key in TOP_LEVEL:
        return _given(key, "is null already", f"leave ~{key} out")
    remedy = None if "." in key else did_you_mean(key, TOP_LEVEL)
    return _given(key, "there is no such key to delete", remedy)


def _no_group_to_delete(match: Match, overrides: Sequence[str]) -> ConfigError:
    group, option = match[1], match[2]
    problem = f"has not the option {option[1:]}" if option else "there is no such group to delete"
    remedy = f"write ~{group}" if option else did_you_mean(group, groups())
    return _given(group, problem, remedy)


def _option_of_the_wrong_type(match: Match, overrides: Sequence[str]) -> ConfigError:
    known = groups()
    for parsed in parse_overrides(overrides):
        if parsed.key_or_group == "":
            return ConfigError("has no key", key=parsed.input_line, remedy="write key=value")
        if parsed.key_or_group in known and not isinstance(parsed.value(), str | list | dict):
            group = parsed.key_or_group
            options = [file.stem for file in (shipped_config_dir() / group).glob("*.yaml")]
            text = parsed.get_value_string()
            remedy = did_you_mean(text, sorted(options))
            if group in _groups_left_out():
                remedy = f"{remedy}; or leave the group out: ~{group}"
            return _given(group, f"is {text}, no name of an option", remedy)
    return ConfigError("a group takes the name of one of its options")


def _groups_left_out() -> list[str]:
    """The groups that have no option unless one is chosen."""
    primary: Any = OmegaConf.load(shipped_config_dir() / f"{CONFIG_NAME}.yaml")
    return [
        str(group)
        for entry in primary.defaults
        if isinstance(entry, DictConfig)
        for group, option in entry.items()
        if option is None
    ]


def _no_item_of_a_list(match: Match, overrides: Sequence[str]) -> ConfigError:
    for parsed in parse_overrides(overrides):
        above, _, item = parsed.key_or_group.rpartition(".")
        if item == match[1]:
            remedy = f"write {above}.0=… for the first, or {in_a_shell(f'{above}=[…]')}"
            return _given(parsed.key_or_group, f"{above} is a list", remedy)
    return ConfigError(match[0])


def _too_many_digits(match: Match, overrides: Sequence[str]) -> ConfigError:
    problem, remedy = "has a number of too many digits", "give one of at most 308"
    for text in overrides:
        if re.search(rf"\d{{{match[1]},}}", text):
            return _given(text.partition("=")[0], problem, remedy)
    return ConfigError(f"a value {problem}", remedy=remedy)


def _no_grid(match: Match, overrides: Sequence[str]) -> ConfigError:
    for text in overrides:
        if re.search(r"=\s*(interval|tag)\(", text):
            key = text.partition("=")[0]
            remedy = f"write {key}=1,2,3 or {in_a_shell(f'{key}=range(1,4)')}"
            return _given(key, "gives no values for a grid", remedy)
    return ConfigError("an interval gives no values for a grid", remedy="write key=1,2,3")


_ANSWERS: dict[str, Answer] = {
    r"Ambiguous value for argument '(.*)'": _ambiguous,
    r"Sweep parameters '.*?= *(?:interval|tag)\(": _no_grid,
    r"Sweep parameters '(.*?)=(.*)' requires --multirun": lambda match, _: _given(
        match[1], "has several values", "add -m for a run of each"
    ),
    r"Sweeping over Hydra's configuration is not supported : '(.*?)=": lambda match, _: _given(
        match[1], "is the same for all jobs of a sweep", "give one value"
    ),
    r"Could not append to config\. An item is already at '(.*)'\.\n.*: '(.*)'\n": _already_there,
    r"Could not delete from config\. '(.*)' does not exist": _no_such_key_to_delete,
    r"Could not delete from config\. The value of '(.*)' is ([\s\S]*) and not ([\s\S]*)\.": (
        lambda match, _: _given(
            match[1], printable(f"is {match[2]}, not {match[3]}"), f"write ~{match[1]}"
        )
    ),
    r"Multiple values for (.*?)\. To override": _chosen_twice,
    r"(.*) appears more than once in the final defaults list": _chosen_twice,
    r"force-add of config groups is not supported: '\+\+(.*?)=(.*)'": lambda match, _: _given(
        match[1],
        "is a group, whose option is replaced anyway",
        f"write {in_a_shell(f'{match[1]}={match[2]}')}",
    ),
    r"Could not delete '([^=']*)(=.*)?'\. No match": _no_group_to_delete,
    r"(?:In '(.*?)': )?Could not override '(.*?)'\.": _not_in_the_defaults,
    r"In (.*): Override '(.*?) : (.*?)' is defined before '(.*)'": _override_too_early,
    r"Invalid defaults list in '(.*)', defaults must be a list": lambda match, _: _in_file(
        match[1], "its defaults are no list", "write an entry a line: - override /model: mlp"
    ),
    r"In (.*): Too many keys in default item (.*)": lambda match, _: _in_file(
        match[1], f"one entry of its defaults is {match[2]}", "write an entry a line, each with a -"
    ),
    r"Duplicate _self_ defined in (.*)": lambda match, _: _in_file(
        match[1], "its defaults have _self_ twice", "keep one"
    ),
    r"Unsupported type in defaults : (.*)": lambda match, _: ConfigError(
        f"an entry of a defaults list is of type {match[1]}", remedy="write - override /model: mlp"
    ),
    r"You must specify '(.*?)'": lambda match, _: ConfigError(
        "has no option", key=match[1], remedy=f"choose one: {match[1]}=…"
    ),
    r"invalid literal for int\(\) with base 10: '(.*)'": _no_item_of_a_list,
    r"Config group override (?:must|deletion)": _option_of_the_wrong_type,
    r"BasicSweeper does not support sweep type|Can only enumerate CHOICE and RANGE": _no_grid,
    r"In '(.*)': \w+ raised while composing config:\n(.*)": lambda match, _: _in_file(
        match[1], f"does not fit the files before it: {match[2]}", "give keys: values, as those do"
    ),
    r"(?:no viable alternative|mismatched input|token recognition error)": lambda match, _: (
        ConfigError(f"a value refers to nothing: {match.string}", remedy="close its ${")
    ),
    r"Exceeds the limit \((\d+) digits\)": _too_many_digits,
    r"Too many components in '@package (.*)'": lambda match, _: ConfigError(
        f"# @package {match[1]}: is no place in the configuration",
        remedy="write # @package _global_, or one dotted path",
    ),
    r"Invalid loaded object type: (\w+)": lambda match, _: ConfigError(
        f"a configuration file holds a value of type {match[1]} alone", remedy="write keys: values"
    ),
    r"Incompatible key type 'NoneType'": lambda match, _: ConfigError(
        "a key in a configuration file is null", remedy="give it a name, or quote it: 'null': …"
    ),
    r"Cannot find primary config '([^']*)'": lambda match, _: ConfigError(
        f"--config-name: there is no {match[1]}.yaml",
        remedy="leave it out, or give its folder with --config-dir",
    ),
}
"""The answer to a message, by how the message begins."""


def nested_group(missing: str, message: str) -> str | None:
    """The group that a defaults list meant which names one without a ``/``; None if it did not.

    >>> nested_group("experiment/model/mlp", "In 'experiment/mine': Could not find …")
    'model'
    """
    inside = re.match(r"In '(.*)/[^/]*': ", message)
    group = missing.rpartition("/")[0]
    if inside is None or not group.startswith(f"{inside[1]}/"):
        return None
    meant = group.removeprefix(f"{inside[1]}/")
    return meant if meant in groups() else None
