"""What was meant by an override that Hydra cannot read, as one would type it in a shell."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence

from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import GrammarParseError

from legoloop.app.hydra_bridge.overrides import parse_overrides, quote_override

KEY = r"[+~]{0,2}[\w./@-]+"


def in_a_shell(override: str) -> str:
    """An override with the quotes that a shell takes away.

    >>> print(in_a_shell("seed=3"), in_a_shell("data.root='a b'"), in_a_shell("seed='$x'"))
    seed=3 "data.root='a b'" 'seed="$x"'
    """
    if re.fullmatch(r"[\w@%+=:,./~-]+", override):
        return override
    if re.search(r'[$`"!\n]|\\([\\$`"]|$)', override):
        text = re.fullmatch(r"([^']*)'([^'\"\\]*)'", override)
        return f"'{text[1]}\"{text[2]}\"'" if text else shlex.quote(override)
    return f'"{override}"'


def repaired(override: str, overrides: Sequence[str] = ()) -> str | None:
    """The override that was meant, quoted for a shell; None if that is not known.

    Args:
        override: one that Hydra cannot read.
        overrides: all of the command line, of which a shell may have made several out of one.

    >>> repaired("data.root=a=b"), repaired("seed", ["seed", "3"]), repaired("seed==3")
    ('"data.root=\\'a=b\\'"', 'seed=3', 'seed=3')
    """
    if home := re.fullmatch(rf"({KEY})=~((/[\w./-]*)?)", override):
        return f"{home[1]}=$HOME{home[2]}"
    at = overrides.index(override) if override in overrides else len(overrides)
    before, after = list(overrides[:at]), list(overrides[at + 1 :])
    for meant in _candidates(override, before, after):
        if _is_read(meant):
            return in_a_shell(meant)
    return None


def _candidates(override: str, before: list[str], after: list[str]) -> Iterator[str]:
    key, equals, value = override.partition("=")
    key, value = key.strip(), value.strip().lstrip("=").strip()
    if equals and value[:1] in ("[", "{", "("):
        for end in range(1, len(after) + 1):
            yield " ".join([override, *after[:end]])
        without_last_comma = re.sub(r", *([]}])", r"\1", value)
        pairs = value.replace("=", ":") if value[0] == "{" else value
        if re.fullmatch(r"\([^()]*\)|\{[^{}:=]*\}", value):  # a tuple, or a set, of Python
            yield f"{key}=[{value[1:-1].strip(', ')}]"
        quoted_inside = re.sub(r"[^][{}:,]+", _quoted_if_needed, value)
        yield from (f"{key}={each}" for each in (without_last_comma, pairs, quoted_inside))
    elif equals:
        yield f"{key}={value.strip(',')}"
        yield f"{key}={quote_override(_without_quotes(value))}"
    else:
        rest = " ".join(after[: 2 if after[:1] == ["="] else 1]).lstrip("= ")
        if (alone := re.fullmatch(rf"({KEY}):?", override)) and rest and "=" not in rest:
            yield f"{alone[1]}={rest}"
        if pair := re.fullmatch(rf"({KEY}):(.+)", override):
            yield f"{pair[1]}={pair[2]}"
        if before and before[-1].endswith("="):
            yield f"{before[-1]}{override}"


def _quoted_if_needed(item: re.Match[str]) -> str:
    text = item[0].strip()
    return text if _is_read(f"key={text}") else quote_override(_without_quotes(text))


def _without_quotes(value: str) -> str:
    is_quoted = len(value) > 1 and value[0] == value[-1] and value[0] in "'\""
    return value[1:-1] if is_quoted else value


def _is_read(override: str) -> bool:
    try:
        (parsed,) = parse_overrides([override])
        OmegaConf.create([None if parsed.is_sweep_override() else parsed.value()])
    except (HydraException, ValueError, GrammarParseError):
        return False
    return parsed.key_or_group != ""


def is_key(text: str) -> bool:
    """Whether an override may have this key, signs included.

    >>> is_key("+model.hidden"), is_key("model..hidden"), is_key("1")
    (True, False, False)
    """
    return _is_read(f"{text.strip()}=1")
