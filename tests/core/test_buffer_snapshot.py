from __future__ import annotations

import torch
from torch import nn

from legoloop.core.buffer_snapshot import BufferSnapshot, own_expanded_buffers


class Replacing(nn.Module):
    """Puts another tensor in the place of its buffer, one row longer each time."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("seen", torch.zeros(1, 2))
        self.register_buffer("none", None)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.seen = torch.cat([self.seen, x])
        return x


def all_of(model: nn.Module) -> list[torch.Tensor]:
    return [buffer.clone() for buffer in model.buffers()]


def test_what_forward_passes_changed_can_be_undone_again_and_again() -> None:
    model = nn.Sequential(nn.BatchNorm1d(2), Replacing(), nn.BatchNorm1d(2, dtype=torch.float32))
    kept = BufferSnapshot.of(model)
    for _ in range(3):
        model(torch.randn(1, 2).expand(3, 2) + torch.randn(3, 2))
        for buffers in kept:
            buffers.save()
        before = all_of(model)
        for _ in range(2):
            model(torch.full((3, 2), torch.nan))
            for buffers in kept:
                buffers.restore()
            assert all(map(torch.equal, all_of(model), before))
    assert model[1].seen.shape == (10, 2)


def test_a_model_without_buffers_has_nothing_to_keep() -> None:
    assert BufferSnapshot.of(nn.Linear(2, 2)) == []


def test_buffers_of_one_type_are_saved_together() -> None:
    model = nn.Sequential(*(nn.BatchNorm1d(2) for _ in range(3)))
    assert sorted(len(snapshot.slots) for snapshot in BufferSnapshot.of(model)) == [3, 6]


class Expanding(nn.Module):
    """Its buffers repeat a few elements in memory."""

    def __init__(self) -> None:
        super().__init__()
        base = torch.arange(3.0)
        self.register_buffer("rows", base.expand(2, 3))
        self.register_buffer("twice", torch.ones(1, 2, dtype=torch.int64).expand(4, 2))
        self.register_buffer("small", torch.ones(2).to(torch.float8_e4m3fn).expand(2, 2))
        self.register_buffer("flag", torch.tensor(True).expand(3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.rows = (self.rows + x).mean(0).expand(2, 3)
        return x


def test_expanded_buffers_are_undone_too() -> None:
    model = Expanding()
    kept = BufferSnapshot.of(model)
    for _ in range(3):
        for buffers in kept:
            buffers.save()
        before = [buffer.float() for buffer in all_of(model)]
        model(torch.ones(2, 3))
        model.flag[0].logical_not_()
        for buffers in kept:
            buffers.restore()
        assert all(map(torch.equal, [buffer.float() for buffer in model.buffers()], before))
        model(torch.ones(2, 3))


def test_expanded_buffers_get_memory_of_their_own_and_shared_ones_stay_shared() -> None:
    model = nn.ModuleList([Expanding(), nn.Module()])
    model[1].register_buffer("shared", model[0].rows)
    model[1].register_buffer("plain", plain := torch.ones(2))
    before = [buffer.float() for buffer in all_of(model)]
    own_expanded_buffers(model)
    assert model[1].shared is model[0].rows
    assert model[1].plain is plain
    assert all(map(torch.equal, [buffer.float() for buffer in model.buffers()], before))
    model.load_state_dict(model.state_dict())
