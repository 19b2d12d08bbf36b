from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from legoloop.training.step.async_scalar import AsyncScalar


@given(st.lists(st.floats(width=32), min_size=1))
def test_reads_what_was_sent_last(numbers: list[float]) -> None:
    scalar = AsyncScalar()
    for number in numbers:
        scalar.start_copy(torch.tensor(number))
        read = scalar.get()
        assert read == number or (math.isnan(number) and math.isnan(read))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_keeps_the_range_of_every_precision(dtype: torch.dtype) -> None:
    scalar, largest = AsyncScalar(), torch.finfo(dtype).max
    scalar.start_copy(torch.tensor(largest, dtype=dtype))
    assert scalar.get() == largest


def test_reads_a_number_that_torch_has_yet_to_negate() -> None:
    scalar, number = AsyncScalar(), torch.tensor(1 + 2j).conj().imag
    assert number.is_neg()
    scalar.start_copy(number)
    assert scalar.get() == -2.0


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_waits_for_the_copy_and_for_nothing_after_it() -> None:
    scalar, number = AsyncScalar(), torch.tensor(0.5, device="cuda")
    scalar.start_copy(number)
    torch.cuda.synchronize()
    big = torch.randn(8192, 8192, device="cuda")
    torch.cuda.set_sync_debug_mode("error")
    try:
        scalar.start_copy(number + 1)
        for _ in range(20):
            big = (big @ big).clamp(-1, 1)
        end = torch.cuda.Event()
        end.record()
        assert scalar.get() == 1.5
        assert not end.query()
    finally:
        torch.cuda.set_sync_debug_mode("default")
