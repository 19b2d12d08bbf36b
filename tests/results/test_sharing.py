from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from legoloop.results.reading import read_runs
from legoloop.results.sharing import Sharing
from tests.results.made_runs import made_run

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner),
    max_leaves=6,
)


@given(st.lists(st.dictionaries(st.text(max_size=2), VALUES, max_size=4), max_size=4))
def test_a_row_says_what_the_mapping_did(mappings: list[dict[str, Any]]) -> None:
    sharing = Sharing()
    for mapping in mappings:
        row = sharing.row(mapping)
        assert repr(dict(row)) == repr(mapping)
        assert len(row) == len(mapping)
        assert all(key in row and row.get(key) is row[key] for key in mapping)
        assert row.get("no such key", 7) == 7
        with pytest.raises(KeyError):
            row["no such key"]


def made_runs(folder: Path, runs: int) -> Path:
    """Runs that differ by seed, learning rate and accuracy."""
    for number in range(runs):
        tree = {f"group{n}": {"text": "the same everywhere", "list": [n, n]} for n in range(40)}
        varied = {"seed": number, "optimizer": {"lr": 0.1 / (number + 1), "name": "adam"}}
        made_run(
            folder,
            str(number),
            config={**tree, **varied},
            final={"val/accuracy": number / runs},
            versions={"python": "3.11", "torch": "2"},
            blueprint={"unresolved": {**tree, "seed": number}},
        )
    return folder


def held(value: Any, known: set[int]) -> int:
    """The bytes of a value and of all that is in it, without what is known."""
    if id(value) in known:
        return 0
    known.add(id(value))
    inner: list[Any] = []
    if isinstance(value, dict):
        inner = [*value, *value.values()]
    elif isinstance(value, list | tuple):
        inner = [*value]
    elif not isinstance(value, str | int | float | bytes | None):
        inner = [*getattr(value, "__dict__", {}).values()]
        slots = (name for kind in type(value).__mro__ for name in getattr(kind, "__slots__", ()))
        inner += [getattr(value, name) for name in slots if hasattr(value, name)]
    return sys.getsizeof(value) + sum(held(each, known) for each in inner)


def test_a_run_more_takes_few_kilobytes(tmp_path: Path) -> None:
    few, many = (
        held(read_runs(made_runs(tmp_path / str(runs), runs)).runs, set()) for runs in (10, 30)
    )
    assert (many - few) / 20 < 5000
