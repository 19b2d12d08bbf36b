from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from legoloop.app.config.annotations import type_mismatch


def takes(
    whole: int,
    number: float,
    flag: bool,
    text: str,
    maybe: int | None,
    pair: tuple[float, float],
    widths: Sequence[int],
    way: Literal["min", "max"],
    table: Mapping[str, int],
    path: str | Path,
    call: Callable[..., Any],
    anything: Any,
    unknown,  # type: ignore[no-untyped-def]
) -> None: ...


FITS: list[tuple[str, Any]] = [
    ("whole", 1),
    ("number", 1),
    ("number", 1.5),
    ("flag", True),
    ("text", "x"),
    ("maybe", None),
    ("maybe", 2),
    ("pair", [0.9, 1]),
    ("widths", [1, 2]),
    ("widths", []),
    ("way", "min"),
    ("table", {"a": 1}),
    ("path", "a/b"),
    ("anything", object()),
    ("unknown", object()),
]
MISFITS: list[tuple[str, Any, str]] = [
    ("whole", 1.0, "int"),
    ("whole", True, "int"),
    ("whole", "1", "int"),
    ("whole", None, "int"),
    ("number", True, "float"),
    ("number", "1e-3", "float"),
    ("flag", 1, "bool"),
    ("text", 1, "str"),
    ("maybe", "none", "int | None"),
    ("pair", [0.9], "tuple[float, float]"),
    ("pair", [0.9, "x"], "tuple[float, float]"),
    ("widths", [1, "x"], "Sequence[int]"),
    ("widths", 128, "Sequence[int]"),
    ("way", "up", "Literal['min', 'max']"),
    ("table", {"a": "x"}, "Mapping[str, int]"),
    ("call", 3, "Callable[..., Any]"),
]


@pytest.mark.parametrize(("name", "value"), FITS)
def test_fits(name: str, value: Any) -> None:
    assert type_mismatch(takes, name, value) is None


@pytest.mark.parametrize(("name", "value", "wanted"), MISFITS)
def test_does_not_fit(name: str, value: Any, wanted: str) -> None:
    assert type_mismatch(takes, name, value) == wanted


def test_annotations_of_a_class_are_those_of_its_constructor() -> None:
    class Brick:
        def __init__(self, every: int) -> None: ...

    assert type_mismatch(Brick, "every", "x") == "int"


def test_an_annotation_that_cannot_be_read_says_nothing() -> None:
    def brick(every: Unknown) -> None: ...  # type: ignore[name-defined]  # noqa: F821

    assert type_mismatch(brick, "every", "x") is None


@given(st.lists(st.integers()))
def test_a_list_stands_for_a_tuple_of_any_length(values: list[int]) -> None:
    def brick(widths: tuple[int, ...]) -> None: ...

    assert type_mismatch(brick, "widths", values) is None
