from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest

from bench.__main__ import PARTS, TINY, options_of, put_into

PAGE = Path(__file__).parent.parent.parent / "docs" / "performance.md"


@pytest.mark.parametrize("part", PARTS)
def test_each_part_is_a_module_and_has_its_place_on_the_page(part: str) -> None:
    assert find_spec(f"bench.{part}") is not None
    page = put_into(PAGE.read_text(), part, "| new |")
    assert f"<!-- {part} -->\n| new |\n<!-- end of {part} -->" in page
    assert put_into(page, part, "| newer |").count("new") == page.count("new")


def test_text_that_looks_like_a_pattern_is_kept() -> None:
    page = put_into("<!-- a --><!-- end of a -->", "a", r"\1 \n")
    assert page == "<!-- a -->\n\\1 \\n\n<!-- end of a -->"


def test_a_page_without_the_place_is_refused() -> None:
    with pytest.raises(ValueError, match="no place for step"):
        put_into("", "step", "text")


def test_the_plot_is_drawn_when_the_page_is_written() -> None:
    assert "--plot" in list(options_of("growth", False, True, []))
    assert list(options_of("growth", True, False, ["--rounds", "2"])) == ["--tiny", "--rounds", "2"]
    assert list(options_of("job_cost", True, True, [])) == list(TINY["job_cost"])
