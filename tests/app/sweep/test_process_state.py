from __future__ import annotations

import os
import random
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from legoloop.app.sweep.process_state import preserve_process_state


def state() -> list[Any]:
    return [
        random.getstate(),
        np.random.get_state(legacy=True)[1].tobytes(),
        torch.get_rng_state().tolist(),
        torch.get_num_threads(),
        torch.get_default_dtype(),
        os.getcwd(),
        list(warnings.filters),
    ]


def change_all(there: Path) -> None:
    random.random()
    np.random.rand()
    torch.rand(1)
    torch.set_num_threads(torch.get_num_threads() + 1)
    torch.set_default_dtype(torch.float64)
    os.chdir(there)
    warnings.simplefilter("ignore")


def test_what_is_inside_changes_nothing(tmp_path: Path) -> None:
    before = state()
    with preserve_process_state():
        assert state() == before
        change_all(tmp_path)
        assert all(now != then for now, then in zip(state(), before, strict=True))
    assert state() == before


@pytest.mark.parametrize("error", [ValueError, SystemExit, KeyboardInterrupt])
def test_however_it_ends(error: type[BaseException], tmp_path: Path) -> None:
    before = state()

    def ends() -> None:
        with preserve_process_state():
            change_all(tmp_path)
            raise error

    with pytest.raises(error):
        ends()
    assert state() == before
