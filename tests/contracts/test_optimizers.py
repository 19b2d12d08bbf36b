"""What every optimizer that ships must keep: a run that is killed goes on to the same bits."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.app.killed import assert_a_killed_run_leaves_the_same

OPTIONS = sorted(
    file.stem for file in (Path(__file__).parents[2] / "conf" / "optimizer").glob("*.yaml")
)
SHORT = (
    *("data=xor", "model.hidden=[4]", "model.dropout=0.2", "num_epochs=2", "epoch_size=96"),
    *("eval_samples=32", "device=cpu", "loggers=[csv]", "scheduler=warmup_cosine"),
)


@pytest.mark.slow
@pytest.mark.parametrize("option", OPTIONS)
def test_a_killed_run_goes_on_to_the_same_bits(tmp_path: Path, option: str) -> None:
    given = (*SHORT, f"optimizer={option}")
    app = assert_a_killed_run_leaves_the_same(tmp_path, 4, *given)
    assert app.counter().steps == 6
