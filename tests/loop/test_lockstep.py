"""Hosts that are stepped: where they halt, and what is theirs meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch

from legoloop.loop.host import TrainingHost
from legoloop.loop.plugin import ShouldSave
from legoloop.loop.step import Step
from tests.loop.tiny_plugins import Drive, Epochs, Trace


class Place:
    """Meets at a trace; notes when the host is in it."""

    plugin = "Trace"

    def __init__(self) -> None:
        self.step = Step()
        self.events: list[str] = []

    def __enter__(self) -> None:
        self.events.append("enter")

    def __exit__(self, *error: object) -> None:
        self.events.append("exit")

    @contextmanager
    def left(self) -> Iterator[None]:
        self.events.append("leave")
        yield
        self.events.append("enter again")


def hosted(*others: object) -> tuple[Trace, TrainingHost]:
    trace = Trace({})
    return trace, TrainingHost([*others, Drive(2), trace])


def test_alone_nothing_is_yielded() -> None:
    _, host = hosted(Epochs(2))
    assert list(host.stepped()) == []


def test_a_host_halts_before_the_hook_at_which_hosts_meet() -> None:
    trace, host = hosted(Epochs(1))
    place = Place()
    halts = []
    for step in host.stepped(place):
        assert step is place.step
        assert step.batch is not None
        halts.append(trace.stages.count("batch"))
    assert halts == [0, 1]
    whole, other = hosted(Epochs(1))
    other.run()
    assert trace.stages == whole.stages


def test_the_batches_lie_in_the_lockstep() -> None:
    _, host = hosted(Epochs(2))
    place = Place()
    list(host.stepped(place))
    assert place.events == ["enter", "exit"] * 2


def test_an_error_of_a_step_leaves_the_lockstep() -> None:
    _, host = hosted(Epochs(2))
    place = Place()
    steps = host.stepped(place)
    next(steps)
    with pytest.raises(ValueError, match="of the group"):
        steps.throw(ValueError("of the group"))
    assert place.events == ["enter", "exit"]


class SavesOnce:
    """Asks for a save after the first step."""

    def __init__(self) -> None:
        self.states: list[Any] = []

    def batch_end(self, step: Step) -> ShouldSave | None:
        return None if self.states else ShouldSave(self.states.append)


def test_a_save_among_the_batches_is_made_outside_of_the_lockstep_with_own_generators() -> None:
    saves, place = SavesOnce(), Place()
    _, host = hosted(Epochs(1), saves)
    steps = host.stepped(place)
    next(steps)
    own = host.state_dict()["rng"]["torch"]
    torch.manual_seed(77)  # what the group draws
    list(steps)
    assert place.events == ["enter", "leave", "enter again", "exit"]
    assert torch.equal(saves.states[0]["rng"]["torch"], own)


def test_two_hosts_that_take_turns_have_generators_of_their_own() -> None:
    class Draws:
        def __init__(self) -> None:
            self.drawn: list[float] = []

        def epoch_start(self) -> None:
            self.drawn.append(torch.rand(()).item())

    def seeded(seed: int) -> tuple[Draws, TrainingHost]:
        draws = Draws()
        return draws, TrainingHost([draws, Epochs(3), Drive(2), Trace({})], seed=seed)

    alone = []
    for seed in (1, 2):
        draws, host = seeded(seed)
        host.run()
        alone.append(draws.drawn)
    (one, first), (two, second) = seeded(1), seeded(2)
    runs = [first.stepped(Place()), second.stepped(Place())]
    for _ in range(7):  # three epochs of two steps, and the end
        for run in runs:
            next(run, None)
            torch.rand(5)
    assert [one.drawn, two.drawn] == alone
