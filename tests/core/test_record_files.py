from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from legoloop.core.record_files import (
    MAX_DEPTH,
    check_tree,
    csv_rows,
    parse_json,
    parse_yaml,
    read_bytes,
)

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text("ab:-[ \n"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab"), inner, max_size=3),
    max_leaves=9,
)


@given(PLAIN)
def test_what_is_harmless_is_read_as_it_is(tree: Any) -> None:
    text = yaml.safe_dump(tree)
    assert repr(parse_yaml(text)) == repr(yaml.safe_load(text))


def test_what_is_used_twice_counts_twice_and_is_read() -> None:
    shared = [1, 2]
    assert parse_yaml(yaml.safe_dump({"a": shared, "b": shared})) == {"a": [1, 2], "b": [1, 2]}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[" * 100_000, "nested too deeply"),
        ("[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1), "nested too deeply"),
        ("&a [*a]", "holds itself"),
        ("9" * 5000, "more than 4000 digits"),
        ("1" + ":59" * 50_000, "more than 4000 digits"),
        ("0x" + "f" * 3900, "more than 4000 digits"),
        ("!!int '" + "9" * 5000 + "'", "more than 4000 digits"),
        ("!!set {a, b}", "holds a set"),
        ("!!pairs [a: 1]", "holds a tuple"),
        ("2001-99-99", "month must be in 1..12"),
        ("a: b: c", "mapping values"),
    ],
    ids=lambda text: text[:20],
)
def test_yaml_that_is_not_bounded(text: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem) as told:
        parse_yaml(text)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("text", ["a" * 5000, "fade" * 2000, "x" * 5000, "e" * 5000, "-" * 5000])
def test_a_long_text_is_no_number(text: str) -> None:
    assert parse_yaml(yaml.safe_dump({"notes": text})) == {"notes": text}


@pytest.mark.parametrize("merges", [False, True])
def test_aliases_are_counted_as_often_as_they_are_used(merges: bool) -> None:
    begin, end = ("{<<: [", "]}") if merges else ("[", "]")
    lines = ["a0: &a0 {x: 1}"]
    for n in range(1, 12):
        lines.append(f"a{n}: &a{n} {begin}{', '.join([f'*a{n - 1}'] * 9)}{end}")
    with pytest.raises(ValueError, match="too many values"):
        parse_yaml("\n".join(lines))


def test_a_tree_of_json_is_bounded_too() -> None:
    check_tree(parse_json(b"[" * MAX_DEPTH + b"]" * MAX_DEPTH))
    with pytest.raises(ValueError, match="nested too deeply"):
        check_tree(parse_json(b"[" * (MAX_DEPTH + 2) + b"]" * (MAX_DEPTH + 2)))
    with pytest.raises(ValueError, match="too many values"):
        check_tree([0] * 300_000)


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: os.symlink("/dev/zero", path)])
def test_what_is_no_regular_file_is_not_read(tmp_path: Path, make: Any) -> None:
    make(tmp_path / "file")
    with pytest.raises(ValueError, match="is not a regular file"):
        read_bytes(tmp_path / "file")
    with pytest.raises(ValueError, match="is not a regular file"):
        next(csv_rows(tmp_path / "file"))


def test_a_large_file_is_refused_and_a_folder_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(bytes(9))
    with pytest.raises(ValueError, match="is larger than"):
        read_bytes(tmp_path / "file", most=8)
    with pytest.raises(IsADirectoryError):
        read_bytes(tmp_path)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="wants Linux")
def test_a_file_is_read_to_its_end_whatever_size_it_is_said_to_have() -> None:
    status = Path("/proc/self/status")
    assert status.stat().st_size == 0
    assert read_bytes(status).splitlines()[0] == status.read_bytes().splitlines()[0]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"a\n" + b"1" * 200_000, "field larger than field limit"),
        (b"\xff", "codec can't decode"),
        (b"a" * (17 * 2**20), "a line of more than 16 MiB"),
    ],
    ids=["cell", "bytes", "line"],
)
def test_a_table_that_is_not_bounded(tmp_path: Path, content: bytes, problem: str) -> None:
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(ValueError, match=problem):
        list(csv_rows(tmp_path / "file"))
