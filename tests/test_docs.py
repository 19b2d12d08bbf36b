"""What README and docs show is what happens."""

from __future__ import annotations

import doctest
import re
from pathlib import Path

import pytest

from tests.app.command import Command

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
REFUSALS = [
    (command.split(), message)
    for page in PAGES
    for command, message in re.findall(
        r"^\$ python -m legoloop\.run (.*)\n(error: .*)$", page.read_text(), re.MULTILINE
    )
]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_examples_of_a_page_run(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert doctest.testfile(str(page), module_relative=False).failed == 0


def test_pages_have_examples() -> None:
    parser = doctest.DocTestParser()
    assert sum(len(parser.get_examples(page.read_text())) for page in PAGES) > 20
    assert REFUSALS


@pytest.mark.parametrize(("arguments", "message"), REFUSALS)
def test_a_refusal_that_is_shown_is_what_is_told(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    ended = Command(tmp_path, monkeypatch, capfd)(*arguments)
    assert (ended.status, ended.err.strip()) == (2, message)
