from __future__ import annotations

import logging
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import legoloop as ll
from tests.app.composed import refusal
from tests.tiny import Noisy, Tiny, mean_loss, tiny, weights


def stream(name: str, samples: int) -> ll.BatchStream:
    return ll.BatchStream(Noisy(samples), name, 0, ll.LoaderConfig(batch_size=4))


def phased(parts: Tiny, phases: dict[str, Any], **given: Any) -> ll.Phases:
    loops = {"train": stream("train", 22), "small": stream("small", 6), "large": stream("l", 14)}
    made = ll.Phases(parts.counter, parts.model, loops, phases, **given)
    parts.epoch = ll.SimpleEpoch(made)
    return made


class Seen:
    """What holds in each epoch: the sizes of its batches, and what is trained."""

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self.sizes: list[list[int]] = []
        self.trained: list[set[str]] = []

    def epoch_start(self) -> None:
        self.sizes.append([])

    def batch_end(self, step: ll.Step) -> None:
        self.sizes[-1].append(step.size)

    def epoch_end(self) -> None:
        named = self.model.named_parameters()
        self.trained.append({name for name, weight in named if weight.requires_grad})


def test_a_data_set_is_served_from_its_epoch_on_and_goes_on_where_it_ended() -> None:
    parts = tiny(num_epochs=5)
    phases = phased(
        parts,
        {
            "small": {"from_epoch": 0, "data": "small"},
            "whole": {"from_epoch": 2, "data": "train"},
            "small again": {"from_epoch": 4, "data": "small"},
        },
    )
    seen = Seen(parts.model)
    parts.host(phases, seen).run()
    assert seen.sizes == [[4, 2], [4, 2], [4, 4, 4, 4, 4, 2], [4, 4, 4, 4, 4, 2], [4, 2]]
    assert phases.streams["small"].position == 6


def test_one_phase_that_says_nothing_is_as_none() -> None:
    parts = tiny(dataset=Noisy())
    phases = phased(parts, {"all": {"from_epoch": 0}})
    assert parts.trained(phases) == tiny(dataset=Noisy()).trained()


def test_what_is_frozen_follows_the_phases_and_stays_if_one_does_not_say() -> None:
    parts = tiny(num_epochs=4)
    phases = phased(
        parts,
        {
            "all": {"from_epoch": 3, "frozen": []},
            "head": {"from_epoch": 0, "frozen": ["layers.0.*", "layers.1.*"]},
            "more": {"from_epoch": 1, "frozen": "layers.0.*"},
            "still": {"from_epoch": 2, "data": "small"},
        },
    )
    parts.model.layers[4].bias.requires_grad_(False)  # frozen by the user, for good
    seen = Seen(parts.model)
    batch_norm: list[bool] = []

    class Looks:
        def epoch_end(self) -> None:
            batch_norm.append(parts.model.layers[1].training)

    parts.host(phases, seen, Looks()).run()
    head, more = {"layers.4.weight"}, {"layers.4.weight", "layers.1.weight", "layers.1.bias"}
    # The bias may have been trained by what was built before it was frozen by hand.
    trained = [names - {"layers.4.bias"} for names in seen.trained]
    assert trained == [head, more, more, more | {"layers.0.weight", "layers.0.bias"}]
    assert batch_norm == [False, True, True, True]


def test_the_descent_of_the_phase_steps_and_no_other() -> None:
    parts = tiny(num_epochs=3)
    other = torch.optim.SGD(parts.model.parameters(), lr=0.1)
    descents = {
        "adam": parts.descent,
        "sgd": ll.GradientDescent(other, parts.model, parts.feed, mean_loss),
    }
    stepped: list[str] = []
    for name, descent in descents.items():
        descent.opt.register_step_post_hook(lambda *_, name=name: stepped.append(name))
    phases = phased(
        parts,
        {
            "first": {"from_epoch": 0, "descent": "sgd", "data": "small"},
            "then": {"from_epoch": 1, "descent": "adam"},
        },
        descents=descents,
    )
    parts.descent = phases  # type: ignore[assignment]
    parts.host().run()
    assert stepped == ["sgd"] * 2 + ["adam"] * 4


def test_the_beginning_of_a_phase_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    parts = tiny(num_epochs=3)
    phases = phased(parts, {"one": {"from_epoch": 0}, "two": {"from_epoch": 2, "data": "small"}})
    with caplog.at_level(logging.INFO, "legoloop"):
        parts.host(phases).run()
    told = [record.getMessage() for record in caplog.records if "phase" in record.getMessage()]
    assert told == ["epoch 1: phase 'one' begins", "epoch 3: phase 'two' begins"]


@given(
    begins=st.lists(st.tuples(st.integers(1, 9), st.sampled_from(["small", "large", "train"]))),
    epoch_size=st.none() | st.integers(1, 30),
)
def test_the_number_of_steps_is_known_beforehand(
    begins: list[tuple[int, str]], epoch_size: int | None
) -> None:
    parts = tiny()
    phases = phased(
        parts,
        {
            "first": {"from_epoch": 0},
            **{str(n): {"from_epoch": n, "data": data} for n, data in dict(begins).items()},
        },
    )
    epoch = ll.SimpleEpoch(phases, epoch_size)
    expected = epoch.lengths(9)
    served = []
    for _ in range(9):
        epoch.epoch_start()
        served.append(len(list(epoch.batches())))
        parts.counter.epoch_end()
    assert served == expected
    assert ll.total_steps(epoch, 9) == sum(expected)


def test_the_steps_to_so_many_samples_are_not_known_with_several_data_sets() -> None:
    parts = tiny()
    phased(parts, {"one": {"from_epoch": 0}})
    assert parts.epoch.batches_to(30) == 8
    phased(parts, {"one": {"from_epoch": 0}, "two": {"from_epoch": 1, "data": "small"}})
    with pytest.raises(ll.ArgumentError, match="not known for phases with several data sets"):
        parts.epoch.batches_to(30)


def test_they_are_left_thawed() -> None:
    parts = tiny(num_epochs=1)
    parts.host(phased(parts, {"all": {"from_epoch": 0, "frozen": ["layers.0.*"]}})).run()
    assert all(weight.requires_grad for weight in parts.model.parameters())


PHASES = "plugins.phases.phases"


@pytest.mark.parametrize(
    ("phases", "message"),
    [
        ("{}", ": is empty; give at least one phase"),
        ("{a: {frozen: []}}", ".a.from_epoch: is missing; give an epoch"),
        ("{a: {from_epoch: -1}}", ".a.from_epoch: is -1; give a whole number of at least 0"),
        (
            "{a: {from_epoch: 2}}",
            ".a.from_epoch: is 2, but no phase begins before; let the first one begin at 0",
        ),
        ("{a: {from_epoch: 0}, b: {from_epoch: 0}}", ".b.from_epoch: is 0, and so is that of 'a'"),
        (
            "{a: {from_epoch: 0, frezen: []}}",
            ".a.frezen: is no part of a phase; did you mean frozen?",
        ),
        ("{a: {from_epoch: 0, data: vla}}", ".a.data: is 'vla'; did you mean val?"),
        ("{a: {from_epoch: 0, data: [val]}}", ".a.data: is '['val']'; did you mean val?"),
        ("{a: {from_epoch: 0, frozen: 5}}", ".a.frozen: is 5; give patterns, such as [backbone.*]"),
        ("{a: {from_epoch: 0, descent: sgd}}", ".a.descent: is 'sgd'; there are none"),
        (
            "{a: {from_epoch: 0, frozen: [layers.*, head.*]}}",
            ".a.frozen: leaves no parameter to train; give more specific ones",
        ),
        (
            "{a: {from_epoch: 0, frozen: [body.*]}}",
            ".a.frozen: has 'body.*', which matches nothing; there are layers.0.0.weight, "
            "layers.0.0.bias, head.linear.weight, head.linear.bias",
        ),
        (
            "{a: 3}",
            ": is {'a': 3}, a mapping; legoloop.Phases takes Mapping[str, Mapping[str, Any]]",
        ),
    ],
)
def test_what_is_wrong_is_told_in_one_line(
    phases: str, message: str, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    given = ("data=xor", "model=mlp", "model.hidden=[4]", "plugins=[default,phases]", "loggers=[]")
    told = refusal(*given, f"{PHASES}={phases}")
    assert told.replace(" (command line)", "") == f"{PHASES}{message}"
    assert list(tmp_path.iterdir()) == []


def test_a_descent_that_no_phase_names_is_refused() -> None:
    parts = tiny()
    with pytest.raises(ll.ArgumentError, match="descents has 'it', which no phase names"):
        phased(parts, {"all": {"from_epoch": 0}}, descents={"it": parts.descent})


def test_final_weights_are_the_same_when_it_is_killed_in_each_phase() -> None:
    """Between steps; the contract of all plugins kills it elsewhere too."""

    def made() -> tuple[Tiny, ll.Phases]:
        parts = tiny(num_epochs=3, dataset=Noisy())
        return parts, phased(
            parts,
            {
                "small": {"from_epoch": 0, "data": "small", "frozen": ["layers.0.*"]},
                "all": {"from_epoch": 1, "data": "large", "frozen": []},
                "last": {"from_epoch": 2, "data": "small"},
            },
        )

    parts, phases = made()
    states: list[dict[str, Any]] = []

    class Saves:
        def batch_end(self, step: ll.Step) -> ll.ShouldSave:
            return ll.ShouldSave(lambda state: states.append(torch.load(_file(state))))

    whole = parts.trained(phases, Saves())
    assert len(states) == 2 + 4 + 2
    for state in states:
        parts, phases = made()
        host = parts.host(phases)
        host.load_state_dict(state)
        host.run()
        assert weights(parts.model) == whole


def _file(state: dict[str, Any]) -> Any:
    from io import BytesIO

    file = BytesIO()
    torch.save(state, file)
    file.seek(0)
    return file
