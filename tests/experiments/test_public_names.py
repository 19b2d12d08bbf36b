"""The examples get by with what legoloop makes public."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import legoloop
from tests.experiments.projects import EXPERIMENTS

FILES = sorted(EXPERIMENTS.rglob("*.py"))


def imports(tree: ast.AST) -> Iterator[tuple[str, str | None]]:
    """Each module that is imported, with the name that it is known by."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, alias.asname or alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from ((f"{node.module}.{alias.name}", None) for alias in node.names)


def attributes(tree: ast.AST, owner: str) -> set[str]:
    """The names that are taken from an object of this name."""
    return {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == owner
    }


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(EXPERIMENTS)))
def test_only_public_names_are_used(file: Path) -> None:
    tree = ast.parse(file.read_text())
    for module, known_as in imports(tree):
        if module.split(".")[0] == "legoloop":
            assert (module, known_as) == ("legoloop", "ll")
    assert attributes(tree, "ll") <= set(legoloop.__all__)


def test_bricks_of_ones_own_need_no_import_of_the_framework() -> None:
    for file in (EXPERIMENTS / "own_bricks").rglob("*.py"):
        assert "legoloop" not in file.read_text()


def test_there_is_something_to_test() -> None:
    assert len(FILES) >= 5
