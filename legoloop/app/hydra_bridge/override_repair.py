"""What was meant by an override that Hydra cannot read, as one would type it in a shell."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence

from hydra.errors import HydraException

from legoloop.app.hydra_bridge.overrides import parse_overrides, quote_override

KEY = r"[+~]{0,2}[\w./@-]+"


def in_a_shell(override: str) -> str:
    """An override with the quotes that a shell takes away.

    >>> print(in_a_shell("seed=3"), in_a_shell("data.root='a b'"), in_a_shell("seed='$x'"))
    seed=3 "data.root='a b'" 'seed='"'"'$x'"'"''
    """
    if re.fullmatch(r"[\w@%+=:,./~-]+", override):
        return override
    if re.search(r'[$`"!\n]|\\[\\$`"]', override):
        return shlex.quote(override)
    return f'"{override}"'


def repaired(override: str, overrides: Sequence[str] = ()) -> str | None:
    """The override that was meant, quoted for a shell; None if that is not known.

    Args:
        override: one that Hydra cannot read.
        overrides: all of the command line, of which a shell may have made several out of one.

    >>> repaired("data.root=a=b"), repaired("seed", ["seed", "3"]), repaired("seed==3")
    ('"data.root=\\'a=b\\'"', 'seed=3', 'seed=3')
    """
    at = overrides.index(override) if override in overrides else len(overrides)
    before, after = list(overrides[:at]), list(overrides[at + 1 :])
    for meant in _candidates(override, before, after):
        if _is_read(meant):
            return in_a_shell(meant)
    return None


def _candidates(override: str, before: list[str], after: list[str]) -> Iterator[str]:
    key, equals, value = override.partition("=")
    if equals and value[:1] in ("[", "{", "("):
        for end in range(1, len(after) + 1):
            yield " ".join([override, *after[:end]])
    elif equals and re.fullmatch(KEY, key):
        yield f"{key}={value.lstrip('=')}"
        yield f"{key}={quote_override(_without_quotes(value.lstrip('=')))}"
    elif not equals:
        rest = " ".join(after[: 2 if after[:1] == ["="] else 1]).lstrip("= ")
        if (alone := re.fullmatch(rf"({KEY}):?", override)) and rest and "=" not in rest:
            yield f"{alone[1]}={rest}"
        if pair := re.fullmatch(rf"({KEY}):(.+)", override):
            yield f"{pair[1]}={pair[2]}"
        if before and before[-1].endswith("="):
            yield f"{before[-1]}{override}"


def _without_quotes(value: str) -> str:
    is_quoted = len(value) > 1 and value[0] == value[-1] and value[0] in "'\""
    return value[1:-1] if is_quoted else value


def _is_read(override: str) -> bool:
    try:
        parse_overrides([override])
    except (HydraException, ValueError):
        return False
    return True
