from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from legoloop.training.step.async_scalar import AsyncScalar


@given(st.lists(st.floats(width=32), min_size=1))
def test_reads_what_was_sent_last(numbers: list[float]) -> None:
    there = AsyncScalar()
    for number in numbers:
        there.send(torch.tensor(number))
        read = there.read()
        assert read == number or (math.isnan(number) and math.isnan(read))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_keeps_the_range_of_every_precision(dtype: torch.dtype) -> None:
    there, largest = AsyncScalar(), torch.finfo(dtype).max
    there.send(torch.tensor(largest, dtype=dtype))
    assert there.read() == largest


def test_reads_a_number_that_torch_has_yet_to_negate() -> None:
    there, number = AsyncScalar(), torch.tensor(1 + 2j).conj().imag
    assert number.is_neg()
    there.send(number)
    assert there.read() == -2.0


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_waits_for_the_copy_and_for_nothing_after_it() -> None:
    there, number = AsyncScalar(), torch.tensor(0.5, device="cuda")
    there.send(number)
    torch.cuda.synchronize()
    big = torch.randn(8192, 8192, device="cuda")
    torch.cuda.set_sync_debug_mode("error")
    try:
        there.send(number + 1)
        for _ in range(20):
            big = (big @ big).clamp(-1, 1)
        end = torch.cuda.Event()
        end.record()
        assert there.read() == 1.5
        assert not end.query()
    finally:
        torch.cuda.set_sync_debug_mode("default")
