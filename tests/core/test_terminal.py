from __future__ import annotations

import io
import os
import pty
import termios
from collections.abc import Iterator
from typing import TextIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from legoloop.core.terminal import (
    WIDTH_OF_A_LOG,
    cells,
    clipped,
    has_colours,
    is_terminal,
    width_of,
)


@pytest.fixture
def terminal() -> Iterator[TextIO]:
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 77))
    with os.fdopen(theirs, "w") as stream:
        yield stream
    os.close(ours)


@given(st.text(max_size=30), st.integers(0, 20))
def test_a_clipped_text_is_one_printable_line_that_fits(text: str, width: int) -> None:
    line = clipped(text, width)
    assert line.isprintable()
    assert cells(line) <= width


def test_a_terminal_has_its_own_width(terminal: TextIO, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "55")
    assert width_of(terminal) == 77


@pytest.mark.parametrize("stream", [io.StringIO(), None])
@pytest.mark.parametrize(
    ("columns", "width"), [("55", 55), ("", WIDTH_OF_A_LOG), ("0", WIDTH_OF_A_LOG), ("x", 100)]
)
def test_elsewhere_lines_are_as_wide_as_the_environment_says(
    stream: TextIO | None, columns: str, width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    assert width_of(stream) == width


@pytest.mark.parametrize(
    ("set_to", "is_one", "colours"),
    [
        ({}, True, True),
        ({"NO_COLOR": "1"}, True, False),
        ({"NO_COLOR": ""}, True, True),
        ({"TERM": "dumb"}, False, False),
    ],
    ids=str,
)
def test_colours_are_for_a_terminal_whose_user_wants_them(
    set_to: dict[str, str],
    is_one: bool,
    colours: bool,
    terminal: TextIO,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    for name, value in set_to.items():
        monkeypatch.setenv(name, value)
    assert (is_terminal(terminal), has_colours(terminal)) == (is_one, colours)
    assert not has_colours(io.StringIO())
