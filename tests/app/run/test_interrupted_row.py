"""A run that was interrupted before it reported anything has its row in the results."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import legoloop as ll
from legoloop.results.reading import read_runs

SMALL = ("data=xor", "model=logistic", "num_epochs=1", "loggers=[csv]", "device=cpu")


class Interrupts:
    """Is interrupted at its first batch, as by Ctrl-C."""

    def batch_end(self, step: Any) -> None:
        raise KeyboardInterrupt


def test_it_has_its_row_with_what_it_was_given(tmp_path: Path) -> None:
    brick = f"+plugins.interrupts._target_={__name__}.Interrupts"
    app = ll.compose([*SMALL, brick, f"hydra.run.dir={tmp_path / 'runs' / 'first'}"])
    with pytest.raises(KeyboardInterrupt):
        app.host().run()
    (row,) = read_runs(tmp_path / "runs").runs
    assert row.name == "first"
    assert row.value("status") == "INTERRUPTED"
    assert row.value("num_epochs") == 1
    assert row.value("val/accuracy") is None
