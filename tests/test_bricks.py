"""Every public brick is shown, can be configured, and keeps to a contract."""

from __future__ import annotations

import re

import pytest

from tests.bricks import DOCS, ROOT, Brick, bricks, table

CONTRACTS = "\n".join(
    page.read_text()
    for folder in ("contracts", "zoo")
    for page in sorted((ROOT / "tests" / folder).glob("test_*.py"))
)
CODE_ONLY = {
    "legoloop.CompositeAccumulator": "made anew for each evaluation, by a CompositeFactory",
    "legoloop.UnionAccumulator": "made anew for each evaluation",
    "legoloop.Loader": "the data container makes them of data.loaders",
    "legoloop.BatchStream": "the data container makes them of data.loaders",
    "legoloop.DefaultBatchDesc": "what counts wherever no batch_desc is given",
    "legoloop.ColumnDataset": "a data set of one's own is a function that returns one",
    "legoloop.model_summary": "what the plugin ModelSummary prints",
}
"""Bricks that no configuration names, and why."""
every_brick = pytest.mark.parametrize("brick", bricks(), ids=lambda brick: brick.target)


@every_brick
def test_a_brick_is_shown_at_work(brick: Brick) -> None:
    assert brick.pages(), f"no page in docs/ shows {brick.last_name}"


@every_brick
def test_a_brick_can_be_configured(brick: Brick) -> None:
    assert bool(brick.choices()) != (brick.target in CODE_ONLY)


@every_brick
def test_a_brick_keeps_to_a_contract(brick: Brick) -> None:
    assert re.search(rf"\b{brick.last_name}\b", CONTRACTS)


@every_brick
def test_a_brick_says_what_it_is_for_and_shows_it(brick: Brick) -> None:
    assert brick.purpose.endswith("."), brick.purpose


def test_the_table_is_that_of_the_code() -> None:
    assert (DOCS / "bricks.md").read_text() == table(), "python -m tests.bricks > docs/bricks.md"
