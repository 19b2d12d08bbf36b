"""Where the memory is not enough, the message says what to type."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import legoloop as ll
from legoloop.core.out_of_memory import is_out_of_memory
from tests.tiny import Tiny, mean_loss, tiny

GPU = (
    "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 79.11 GiB of "
    "which 1.12 GiB is free. If reserved but unallocated memory is large try setting "
    "PYTORCH_ALLOC_CONF=expandable_segments:True. See documentation for Memory Management"
)
CPU = (
    "[enforce fail at alloc_cpu.cpp:124] err == 0. DefaultCPUAllocator: can't allocate memory: "
    "you tried to allocate 40000000000000 bytes. Error code 12 (Cannot allocate memory)"
)


class Needs(ll.Feed):
    """Has room for so many samples."""

    def __init__(self, model: torch.nn.Module, room: int, error: RuntimeError) -> None:
        super().__init__(model, "cpu")
        self.room, self.error = room, error

    def outputs(self, batch: Any) -> Any:
        if len(batch["x"]) > self.room:
            raise self.error
        return super().outputs(batch)


def with_room(room: int, error: RuntimeError, **given: Any) -> Tiny:
    parts = tiny()
    parts.feed = Needs(parts.model, room, error)
    parts.descent = ll.GradientDescent(parts.opt, parts.model, parts.feed, mean_loss, **given)
    return parts


@pytest.mark.parametrize(
    ("micro_batch_size", "message"),
    [
        (None, "the step of 4 samples at once; give the descent micro_batch_size=2, which makes"),
        (3, "the step of 3 samples at once; give the descent micro_batch_size=1, which makes"),
        (9, "the step of 4 samples at once; give the descent micro_batch_size=2, which makes"),
        (1, "the step of 1 samples at once; give a smaller model, or precision=amp_bf16"),
    ],
)
def test_a_step_takes_fewer_samples_at_once(micro_batch_size: int | None, message: str) -> None:
    parts = with_room(0, torch.OutOfMemoryError(GPU), micro_batch_size=micro_batch_size)
    with pytest.raises(ll.DataError) as caught:
        parts.host().run()
    told = str(caught.value)
    assert told.startswith(f"the memory is not enough for {message}")
    assert told.endswith(" (CUDA out of memory. Tried to allocate 2.00 GiB.)")
    assert is_out_of_memory(caught.value)


def test_what_it_says_to_do_helps() -> None:
    error = torch.OutOfMemoryError(GPU)
    with pytest.raises(ll.DataError, match="micro_batch_size=2"):
        with_room(2, error).host().run()
    with_room(2, error, micro_batch_size=2).host().run()


def test_a_step_that_evaluates_the_loss_itself_says_so_too() -> None:
    parts = with_room(2, torch.OutOfMemoryError(GPU))
    opt = torch.optim.LBFGS(parts.model.parameters())
    parts.descent = ll.ClosureDescent(opt, parts.model, parts.feed, mean_loss)
    with pytest.raises(ll.DataError, match="give the descent micro_batch_size=2"):
        parts.host().run()


def test_an_evaluation_takes_smaller_batches() -> None:
    parts = with_room(2, RuntimeError(CPU))
    with pytest.raises(ll.DataError) as caught:
        parts.loaders_acc().collect("val")
    assert str(caught.value).startswith(
        "the memory is not enough for the evaluation of 4 samples at once; give "
        "data.loaders.default.eval_batch_size=2 ([enforce fail at alloc_cpu.cpp:124] err == 0"
    )


def test_another_error_stays_what_it_is() -> None:
    parts = with_room(0, RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
    with pytest.raises(RuntimeError, match="mat1 and mat2"):
        parts.host().run()
    with pytest.raises(RuntimeError, match="mat1 and mat2"):
        parts.loaders_acc().collect("val")


def test_torch_says_it_so_on_this_machine() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**60, dtype=torch.uint8)
    assert is_out_of_memory(caught.value)
