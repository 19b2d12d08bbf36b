"""Keys of a configuration that only repeat others, by the references in the record of the run."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any

from legoloop.results.reading import Run

_REFERENCE = re.compile(r"\$\{(oc\.select:\s*)?\.*[A-Za-z_][\w.]*(\[\d+\])*\}")
"""To a key: ``${seed}``, ``${oc.select:optimizer.lr}``; no other resolver, such as ``oc.env``."""


def is_derived(key: str, runs: Sequence[Run]) -> bool:
    """Whether the value of a key is made of those of other keys alone, in each run that has it.

    Args:
        key: a dotted key of their configurations.
        runs: of which those count whose record has the configuration as it was written.
    """
    written = [_written(run, key) for run in runs if run.has_full_config and key in run.config]
    known = [value for value in written if value is not None]
    return bool(known) and all(map(_is_made_of_keys, known))


def _is_made_of_keys(value: Any) -> bool:
    if not isinstance(value, str):
        return False
    rest, count = _REFERENCE.subn("", value)
    return count > 0 and "${" not in rest


def _written(run: Run, key: str) -> Any:
    """The value with its references, or the reference to a mapping that it lies in."""
    for name in accumulate(key.split("."), "{}.{}".format):
        if name in run.written:
            value = run.written[name]
            return None if name != key and isinstance(value, Mapping) else value
    return None
