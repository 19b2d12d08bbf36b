from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from legoloop.core.errors import DataError
from legoloop.results.page.curves import NO_CURVES, Curve, read_curves, thinned

VALUES = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=400)


def written(folder: Path, text: str) -> Path:
    path = folder / "metrics.csv"
    path.write_text(text)
    return path


@given(VALUES, st.integers(4, 60))
def test_thinning_keeps_the_least_the_greatest_and_the_ends(
    values: list[float], points: int
) -> None:
    whole = Curve(np.arange(len(values), dtype=float) * 3, np.array(values))
    few = thinned(whole, points)
    assert len(few.steps) <= max(points, 4) + 2
    assert (few.values.min(), few.values.max()) == (min(values), max(values))
    assert (few.steps[0], few.steps[-1]) == (0, 3 * (len(values) - 1))
    assert (np.diff(few.steps) > 0).all()
    assert all(few.values == whole.values[(few.steps / 3).astype(int)])


@given(VALUES)
def test_the_means_of_the_pieces_have_the_mean_of_the_whole(values: list[float]) -> None:
    means = thinned(Curve(np.arange(len(values), dtype=float), np.array(values)), 8).means
    if means is None:
        assert len(values) <= 8
        return
    width = -(-len(values) // 4)
    pieces = [values[start : start + width] for start in range(0, len(values), width)]
    assert means.values == pytest.approx([np.mean(piece) for piece in pieces], rel=1e-9, abs=1e-6)
    assert len(means.steps) == len(pieces)


def test_a_short_curve_stays_as_it_is() -> None:
    curve = Curve(np.arange(3.0), np.ones(3))
    assert thinned(curve, 3) is curve


def test_what_is_not_finite_is_left_out(tmp_path: Path) -> None:
    text = "step,epoch,a,b,c\n1,1,0.5,nan,\n2,2,inf,0.25,\n3,3,-inf,,\n"
    curves = read_curves(written(tmp_path, text))
    assert {tag: curve.values.tolist() for tag, curve in curves.by_tag.items()} == {
        "a": [0.5],
        "b": [0.25],
    }
    assert curves.rows == 3


def test_steps_that_do_not_ascend_are_put_in_order(tmp_path: Path) -> None:
    text = "step,a\n5,50\n1,10\n-1,0\n1e300,7\nnan,7\n3,30\n"
    curve = read_curves(written(tmp_path, text)).by_tag["a"]
    assert curve.steps.tolist() == [1, 3, 5]
    assert curve.values.tolist() == [10, 30, 50]


def test_equal_epochs_are_one_pair_and_others_several(tmp_path: Path) -> None:
    equal = "step,epoch,a\n" + "".join(f"{10 * n},{n},0\n" for n in range(1, 9))
    assert read_curves(written(tmp_path, equal)).epochs == [(80, 8)]
    others = "step,epoch,a\n10,1,0\n15,2,0\n40,3,0\n"
    assert read_curves(written(tmp_path, others)).epochs == [(10, 1), (15, 2), (40, 3)]


def test_reports_within_an_epoch_count_once(tmp_path: Path) -> None:
    text = "step,epoch,a\n5,1,0\n10,1,0\n15,2,0\n20,2,0\n"
    assert read_curves(written(tmp_path, text)).epochs == [(20, 2)]


def test_a_run_without_metrics_has_no_curves(tmp_path: Path) -> None:
    assert read_curves(tmp_path / "metrics.csv") is NO_CURVES


@pytest.mark.parametrize(
    "text",
    ["", "epoch,a\n1,2\n", "step,a\n1,x\n", "step,a\n1,2,3\n", "step,a,a\n1,2,3\n", "\x00", "\n\n"],
)
def test_a_damaged_file_is_one_sentence(tmp_path: Path, text: str) -> None:
    with pytest.raises(DataError, match=r"^metrics\.csv [^\n]+$"):
        read_curves(written(tmp_path, text))


def test_bytes_that_are_no_text_are_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "metrics.csv").write_bytes(b"step,\xff\n1,2\n")
    with pytest.raises(DataError, match=r"^metrics\.csv [^\n]+$"):
        read_curves(tmp_path / "metrics.csv")


def test_a_pipe_a_device_and_a_folder_are_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "device").symlink_to("/dev/zero")
    for name in ("pipe", "device", "."):
        with pytest.raises(DataError, match=r"is not a regular file|Is a directory"):
            read_curves(tmp_path / name)
