"""Reads what a run wrote down, from a directory that may be damaged or another's.

Whatever lies there, reading it ends, with a value or with one error: only regular files are read,
up to a size, and a tree has a bounded depth and number of values, aliases counted as often as they
are used.
"""

from __future__ import annotations

import csv
import io
import json
import os
import re
import stat
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, TextIO

MAX_BYTES = 32 * 2**20
"""Of a record or a configuration."""
MAX_LINE = 16 * 2**20
"""Characters in a line of a table."""
MAX_DEPTH = 48
MAX_VALUES = 200_000
"""Mappings, lists and scalars of a tree."""
MAX_DIGITS = 4_000
"""Of a whole number; Python turns no longer one into text."""

_NUMBER = re.compile(r"[-+]?(0x[0-9a-fA-F_]+|[0-9][0-9_:.]*)")


def open_regular(path: Path) -> BinaryIO:
    """Open a regular file, without waiting for what is none, such as a FIFO.

    Raises OSError if it cannot be opened, ValueError for what is no regular file.

    >>> open_regular(Path(os.devnull))
    Traceback (most recent call last):
    ValueError: is not a regular file
    """
    file: BinaryIO = io.open(path, "rb", opener=_open_regular)  # noqa: SIM115, UP020
    return file


def read_bytes(path: Path, most: int = MAX_BYTES) -> bytes:
    """The content of a regular file.

    Raises OSError if it cannot be read, ValueError for what is no regular file, or a larger one.
    """
    handle = _open_regular(os.fspath(path), os.O_RDONLY)
    try:
        content = os.read(handle, min(os.fstat(handle).st_size, most + 1))
        while len(content) <= most and (more := os.read(handle, 2**16)):
            content += more
    finally:
        os.close(handle)
    if len(content) > most:
        raise ValueError(f"is larger than {most // 2**20} MiB")
    return content


def parse_json(content: bytes) -> Any:
    """A value from JSON.

    Raises ValueError for what is not JSON, and for nesting that is too deep to be read.

    >>> parse_json(b"[" * 10_000)
    Traceback (most recent call last):
    ValueError: is nested too deeply
    """
    try:
        return json.loads(content)
    except RecursionError:
        raise ValueError("is nested too deeply") from None


def parse_yaml(content: bytes | str) -> Any:
    """A value from YAML: mappings, lists and scalars.

    Raises ValueError for what is not YAML, or not bounded.

    >>> parse_yaml("lr: 0.1")
    {'lr': 0.1}
    >>> parse_yaml("a: &a [*a]")
    Traceback (most recent call last):
    ValueError: holds itself
    """
    text = check_yaml(content)
    import yaml

    try:
        tree = yaml.load(text, _yaml_loader())
    except (yaml.YAMLError, ArithmeticError, TypeError, AttributeError) as error:
        raise ValueError(first_line(error)) from None
    check_tree(tree)
    return tree


def check_yaml(content: bytes | str) -> str:
    """The text of a file of YAML that any loader can take.

    A loader is recursive, and one in C ends the process; it builds what aliases multiply. So the
    events are looked at first.

    Raises ValueError for what is not YAML, is nested too deeply, holds itself, holds too many
    values, or a number of too many digits.
    """
    import yaml

    text = content if isinstance(content, str) else content.decode()
    sizes: dict[str, int | None] = {}  # of what has an anchor; None: it is not closed yet
    around: list[tuple[str | None, int]] = []  # the open collections: their anchors, sizes before
    size = 0
    try:
        for event in yaml.parse(text, _yaml_loader()):
            if isinstance(event, yaml.AliasEvent):
                found = sizes.get(str(event.anchor), 0)
                if found is None:
                    raise ValueError("holds itself")
                size += found
            elif isinstance(event, yaml.ScalarEvent):
                size += 1
                _check_digits(event)
                if event.anchor is not None:
                    sizes[event.anchor] = 1
            elif isinstance(event, yaml.CollectionStartEvent):
                around.append((event.anchor, size))
                size += 1
                if event.anchor is not None:
                    sizes[event.anchor] = None
                if len(around) > MAX_DEPTH:
                    raise ValueError("is nested too deeply")
            elif isinstance(event, yaml.CollectionEndEvent):
                anchor, before = around.pop()
                if anchor is not None:
                    sizes[anchor] = size - before
            if size > 2 * MAX_VALUES:  # keys are counted here too
                raise ValueError("holds too many values")
    except yaml.YAMLError as error:
        raise ValueError(first_line(error)) from None
    return text


def check_tree(tree: Any) -> None:
    """Raises ValueError for a tree that is not made of mappings, lists and scalars, or not bounded.

    >>> check_tree({"optimizer": {"betas": [0.9, 0.999]}})
    >>> check_tree([10**5000])
    Traceback (most recent call last):
    ValueError: holds a number of more than 4000 digits
    """
    level, total = [tree], 1
    for _ in range(MAX_DEPTH + 1):
        inner: list[Any] = []
        for value in level:
            kind = type(value)  # what is read from JSON and YAML has no subclasses
            if kind is dict:
                inner.extend(value.values())
            elif kind is list:
                inner.extend(value)
            elif kind is int:
                if value.bit_length() > MAX_DIGITS * 10 // 3:
                    raise ValueError(f"holds a number of more than {MAX_DIGITS} digits")
            elif kind in (set, tuple):
                raise ValueError(f"holds a {kind.__name__}")
        if not inner:
            return
        level, total = inner, total + len(inner)
        if total > MAX_VALUES:
            raise ValueError("holds too many values")
    raise ValueError("is nested too deeply")


def csv_rows(path: Path) -> Iterator[list[str]]:
    """The rows of a CSV file, the header among them, without empty lines.

    Raises OSError if the file cannot be read, ValueError for what is no regular file, no text, or
    not bounded.

    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp()) / "metrics.csv"
    >>> _ = file.write_text("step,loss\\n\\n1,0.5\\n")
    >>> list(csv_rows(file))
    [['step', 'loss'], ['1', '0.5']]
    """
    with io.TextIOWrapper(open_regular(path), encoding="utf-8", newline="") as file:
        try:
            yield from filter(None, csv.reader(_lines(file)))
        except csv.Error as error:
            raise ValueError(str(error)) from None


def first_line(error: BaseException) -> str:
    """What an error says, in one line, without the path that the caller names.

    >>> first_line(FileNotFoundError(2, "No such file or directory", "run.json"))
    'No such file or directory'
    """
    said = error.strerror if isinstance(error, OSError) else None
    return next(iter(str(said or error).strip().splitlines()), type(error).__name__)


def _open_regular(path: str, flags: int) -> int:
    handle = os.open(path, flags | getattr(os, "O_NONBLOCK", 0))
    mode = os.fstat(handle).st_mode
    if stat.S_ISREG(mode) or stat.S_ISDIR(mode):  # of a folder, ``open`` says it itself
        return handle
    os.close(handle)
    raise ValueError("is not a regular file")


def _check_digits(event: Any) -> None:
    """Whole numbers are read in quadratic time."""
    is_typed = event.implicit[0] or event.tag is not None
    if is_typed and len(event.value) > MAX_DIGITS and _NUMBER.fullmatch(event.value):
        raise ValueError(f"holds a number of more than {MAX_DIGITS} digits")


def _lines(file: TextIO) -> Iterable[str]:
    for line in iter(partial(file.readline, MAX_LINE), ""):
        if len(line) == MAX_LINE:
            raise ValueError(f"has a line of more than {MAX_LINE // 2**20} MiB")
        yield line


def _yaml_loader() -> Any:
    import yaml

    # The compiled loader takes a millisecond for a configuration, the other one ten.
    return getattr(yaml, "CSafeLoader", yaml.SafeLoader)
