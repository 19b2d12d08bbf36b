from __future__ import annotations

import copy
import random
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch

from legoloop.core import rng
from legoloop.core.errors import PluginError
from legoloop.core.interruption import Interrupted
from legoloop.loop.host import TrainingHost
from legoloop.loop.plugin import ShouldEvaluate, ShouldSave, ShouldStop
from legoloop.loop.stages import Stage
from legoloop.loop.step import Step
from tests.loop.tiny_plugins import Drive, Epochs, Evaluate, Trace

BATCH = [Stage.BATCH_START, Stage.BATCH, Stage.BATCH_END]


def epoch(batches):
    return [Stage.EPOCH_START, *BATCH * batches, Stage.EPOCH, Stage.EPOCH_END]


def traced(*others, drive=None, **answers):
    trace = Trace({Stage(stage): answer for stage, answer in answers.items()})
    return trace, TrainingHost([*others, drive or Drive(2), trace])


def test_the_stages_of_a_run():
    trace, host = traced(Epochs(2))
    host.run()
    assert trace.stages == [
        Stage.TRAIN_START,
        *epoch(2),
        *epoch(2),
        Stage.TRAIN,
        Stage.TRAIN_END,
    ]
    assert host.stop_reason == "that many epochs"


def test_the_batches_run_at_the_drivers_turn():
    before, after = Trace(), Trace()
    drive = Drive(1)
    called: list[tuple[str, Stage]] = []
    before._record = lambda stage: called.append(("before", stage))
    after._record = lambda stage: called.append(("after", stage))
    TrainingHost([before, drive, after, Epochs(1)]).run()
    around = called[
        called.index(("before", Stage.EPOCH)) : called.index(("after", Stage.EPOCH)) + 1
    ]
    inside = [(who, stage) for stage in BATCH for who in ("before", "after")]
    assert around == [("before", Stage.EPOCH), *inside, ("after", Stage.EPOCH)]


def test_the_epoch_of_the_driver_itself_comes_after_its_batches():
    class Driving(Drive):
        def epoch(self):
            self.seen = self.in_epoch

    drive = Driving(3)
    TrainingHost([drive, Epochs(1)]).run()
    assert drive.seen == 3


@pytest.mark.parametrize("way", ["returned", "called"])
@pytest.mark.parametrize("stage", list(Stage))
def test_a_stop_from_any_stage_is_honoured_and_every_start_has_its_end(stage, way):
    class Stops(Trace):
        def _record(self, called):
            super()._record(called)
            if called != stage:
                return None
            return ShouldStop("enough") if way == "returned" else host.stop("enough")

    trace = Stops()
    after_two = Epochs(2 if stage in (Stage.TRAIN, Stage.TRAIN_END) else 100)
    evaluate = [Evaluate()] if stage is Stage.WITHIN_EPOCH else []
    host = TrainingHost([trace, Drive(2), after_two, *evaluate])
    host.run()

    closing = [Stage.EPOCH, Stage.EPOCH_END]
    if stage is Stage.TRAIN_START:
        epochs = []
    elif (
        stage is Stage.EPOCH_START or stage is Stage.EPOCH
    ):  # trace is called for both before the driver
        epochs = [Stage.EPOCH_START, *closing]
    elif stage in (*BATCH, Stage.WITHIN_EPOCH):
        within = [Stage.WITHIN_EPOCH] if evaluate else []
        epochs = [Stage.EPOCH_START, Stage.EPOCH, *BATCH, *within, Stage.EPOCH_END]
    elif stage is Stage.EPOCH_END:
        epochs = [Stage.EPOCH_START, Stage.EPOCH, *BATCH * 2, Stage.EPOCH_END]
    else:
        epochs = [Stage.EPOCH_START, Stage.EPOCH, *BATCH * 2, Stage.EPOCH_END] * 2
    assert trace.stages == [Stage.TRAIN_START, *epochs, Stage.TRAIN, Stage.TRAIN_END]
    first_reason = "that many epochs" if stage in (Stage.TRAIN, Stage.TRAIN_END) else "enough"
    assert host.stop_reason == first_reason


def test_an_unused_stage_is_never_called():
    class OnlyEnds:
        def batch_end(self, step):
            pass

    host = TrainingHost([Drive(), OnlyEnds(), Epochs()])
    in_use = {stage for stage in Stage if host.plan.calls(stage)}
    assert in_use == {Stage.EPOCH_START, Stage.BATCH_END, Stage.EPOCH_END}
    assert len(host.plan.calls(Stage.BATCH_END)) == 1
    host.run()


def test_a_stage_is_looked_up_once_when_the_host_is_made():
    trace, host = traced(Epochs())
    trace.batch = None
    host.run()
    assert trace.stages.count(Stage.BATCH) == 2


def test_a_plugin_listed_twice_runs_once():
    trace = Trace()
    with pytest.warns(UserWarning, match="'Trace' is given twice") as warned:
        host = TrainingHost([trace, Drive(1), Epochs(1), trace])
    assert warned[0].filename == __file__
    host.run()
    assert trace.stages.count(Stage.BATCH) == 1


def test_the_step_is_emptied_after_batch_end():
    class Keeps:
        def batch_end(self, step):
            step.outputs, step.loss = {"y": 1}, 2.0
            self.step, self.size, self.batch = step, step.size, step.batch

    keeps = Keeps()
    TrainingHost([Drive(1), keeps, Epochs(1)]).run()
    assert (keeps.batch, keeps.size) == ({"number": 1}, 1)
    left = keeps.step
    assert (left.batch, left.outputs, left.loss, left.size) == (None, None, None, 0)


def test_nothing_of_a_step_outlives_it():
    class Streams:
        """Looks, before it gives the next batch, whether the last one is gone."""

        def batches(self):
            for _ in range(3):
                assert all(tensor() is None for tensor in watch.seen)
                yield {"x": torch.zeros(3)}, 3

    class Watches:
        def __init__(self):
            self.seen = []

        def batch(self, step):
            step.outputs, step.loss = {"y": step.batch["x"] + 1}, step.batch["x"].sum()

        def batch_end(self, step):
            tensors = step.batch["x"], step.outputs["y"], step.loss
            self.seen += [weakref.ref(tensor) for tensor in tensors]

        def epoch_end(self):
            assert len(self.seen) == 9
            assert all(tensor() is None for tensor in self.seen)

    watch = Watches()
    TrainingHost([Streams(), watch, Epochs(1)]).run()


@pytest.mark.parametrize("stage", [None, *Stage])
def test_close_is_called_however_the_run_ended(stage):
    closed = []

    class Closes(Trace):
        def close(self):
            closed.append(self)

        def _record(self, called):
            if called == stage:
                raise KeyboardInterrupt

    first, second = Closes(), Closes()
    host = TrainingHost([first, second, Drive(), Epochs(), Evaluate()])
    if stage is None:
        host.run()
    else:
        with pytest.raises(KeyboardInterrupt):
            host.run()
    assert closed == [second, first]


def test_a_close_that_fails_does_not_keep_the_others_from_closing():
    class Fails(Trace):
        def close(self):
            raise OSError("disk is full")

    class Closes(Trace):
        closed = False

        def close(self):
            self.closed = True

    first, second = Closes(), Closes()
    with pytest.raises(OSError, match="disk is full"):
        TrainingHost([first, Fails(), second, Drive(), Epochs()]).run()
    assert first.closed
    assert second.closed


def draw():
    return random.gauss(0, 1), np.random.randn(), torch.randn(1).item()


@pytest.mark.parametrize("looks", [False, True])
def test_preparing_and_reporting_the_training_leave_every_generator_as_it_was(looks):
    class Draws:
        def __init__(self):
            self.drawn = []

        def batch(self, step):
            self.drawn.append(draw())

        def train(self):
            self.drawn.append(draw())

        def close(self):
            self.drawn.append(draw())

    class Looks:
        def epoch_end(self):
            if looks:
                draw()

        train_start = train_end = epoch_end

    rng.seed(1)
    draws = Draws()
    TrainingHost([draws, Looks(), Drive(2), Epochs(2)]).run()
    rng.seed(1)
    assert draws.drawn == [draw() for _ in range(6)]


def test_the_generators_are_seeded_anew_when_the_training_starts():
    class Draws(Epochs):
        def batch(self, step):
            self.drawn = draw()

    rng.seed(2)
    draws = Draws()
    host = TrainingHost([draws, Drive(1)])
    draw()
    host.run()
    rng.seed(2)
    assert draws.drawn == draw()


@pytest.mark.parametrize("answer", [True, False, 0, "stop", ShouldStop, {}, ShouldEvaluate()])
def test_a_stage_that_returns_something_else_is_refused(answer):
    _, host = traced(epoch_end=answer)
    with pytest.raises(PluginError) as refused:
        host.run()
    assert str(refused.value) == (
        f"Trace.epoch_end returned {answer!r}; a stage returns nothing, ShouldStop(reason) or "
        "ShouldSave(save), one of a batch also ShouldEvaluate()"
    )


def test_the_first_reason_to_stop_is_kept():
    _, host = traced(Epochs(1), batch_end=ShouldStop("first"), train=ShouldStop("last"))
    host.run()
    assert host.stop_reason == "first"


@pytest.mark.parametrize("stage", list(Stage))
def test_a_state_is_saved_after_all_hooks_of_the_stage_were_called(stage):
    class Asks(Trace):
        def _record(self, called):
            return ShouldSave(states.append) if called == stage else None

    class Counts(Trace):
        def state_dict(self):
            return {"called": self.stages.count(stage)}

        def load_state_dict(self, state):
            pass

    states: list[dict] = []
    TrainingHost([Drive(2), Asks(), Epochs(2), Counts(), Evaluate()]).run()
    seen = [state["plugins"]["Counts"]["called"] for state in states]
    assert seen == list(range(1, len(seen) + 1))
    in_epoch = (*BATCH, Stage.WITHIN_EPOCH)
    assert len(seen) == {True: 4, False: 2}[stage in in_epoch] if "train" not in stage else 1


class Learner:
    """Learns from dropout and noise, so that one draw or batch too many shows in the weight."""

    def __init__(self):
        self.weight = torch.zeros(4, dtype=torch.float64)
        self.epochs = 0

    def epoch_start(self):
        self.weight = self.weight + 1

    def epoch(self):
        self.weight = self.weight * 1.5

    def batch(self, step):
        noise = torch.randn(4, dtype=torch.float64) + np.random.randn() + random.gauss(0, 1)
        self.weight = self.weight * 0.9 + step.batch["number"] * noise

    def epoch_end(self):
        draw()

    def state_dict(self):
        return {"weight": self.weight}

    def load_state_dict(self, state):
        self.weight = state["weight"]


class SavesAt(Trace):
    def __init__(self, stage, time, states):
        super().__init__()
        self.stage, self.time, self.states = stage, time, states

    def _record(self, stage):
        if stage != self.stage:
            return None
        self.time -= 1
        return None if self.time else ShouldSave(lambda s: self.states.append(copy.deepcopy(s)))


@pytest.mark.parametrize("driver_first", [False, True])
@pytest.mark.parametrize("time", [1, 2])
@pytest.mark.parametrize("stage", list(Stage))
def test_a_run_goes_on_from_any_stage_as_if_it_had_never_been_left(stage, time, driver_first):
    def host(*more):
        learner, drive = Learner(), Drive(3)
        parts = [drive, learner] if driver_first else [learner, drive]
        parts = [*parts, Epochs(3), Evaluate(), *more]
        plugins = {type(part).__name__: part for part in parts}
        return learner, TrainingHost(plugins)

    states = []
    rng.seed(5)
    learner, whole = host(SavesAt(stage, time, states))
    whole.run()
    if not states:
        assert "train" in stage
        return

    rng.seed(6)
    resumed_learner, resumed = host()
    draw()
    resumed.load_state_dict(states[0])
    rng.seed(5)
    resumed.run()
    assert resumed_learner.weight.tolist() == learner.weight.tolist()
    assert resumed.stop_reason == whole.stop_reason


def test_a_resumed_run_calls_train_start_but_not_the_start_of_its_epoch():
    states = []
    keep = ShouldSave(lambda state: states.append(copy.deepcopy(state)))
    _, host = traced(Epochs(1), drive=Drive(2), batch_end=keep)
    host.run()
    trace, resumed = traced(Epochs(1), drive=Drive(2))
    resumed.load_state_dict(states[0])
    resumed.run()
    rest = [*BATCH, Stage.EPOCH, Stage.EPOCH_END, Stage.TRAIN, Stage.TRAIN_END]
    assert trace.stages == [Stage.TRAIN_START, *rest]


def test_a_state_of_other_plugins_is_refused_with_both_lists():
    state = TrainingHost([Drive(), Epochs()]).state_dict()
    with pytest.raises(PluginError) as refused:
        TrainingHost([Drive(), Trace()]).load_state_dict(state)
    assert str(refused.value) == "the saved plugins are Drive, Epochs, but these are Drive"


def test_plugins_without_state_are_left_out_of_it():
    assert TrainingHost([Drive(), Trace()]).state_dict()["plugins"].keys() == {"Drive"}


def test_a_host_trains_with_the_seed_that_was_chosen_when_it_was_made():
    class Draws:
        def __init__(self) -> None:
            self.drawn: list[float] = []

        def epoch_start(self) -> ShouldStop:
            self.drawn.append(torch.rand(1).item())
            return ShouldStop("one draw is enough")

        def batches(self):
            yield from ()

    rng.seed(1)
    early = Draws()
    host = TrainingHost([early])
    expected = torch.rand(1).item()
    rng.seed(2)
    host.run()
    assert early.drawn == [expected]


def test_a_host_runs_once():
    host = TrainingHost([Drive(), Epochs(1)])
    host.run()
    with pytest.raises(PluginError, match="this host has run already; a new run takes a new host"):
        host.run()


class Saves:
    """Keeps the states that it asked for when the run was interrupted."""

    def __init__(self) -> None:
        self.states: list[Any] = []

    def epoch_end(self) -> None:
        """Some hook of a plugin is called."""

    def interrupted(self) -> ShouldSave:
        return ShouldSave(self.states.append)


class Interrupts:
    """Interrupts its host at one stage of one kind."""

    def __init__(self, stage: str) -> None:
        self.stage = stage
        self.host: TrainingHost | None = None
        self.came_through = False

    def _record(self, stage: str) -> None:
        if stage == self.stage:
            assert self.host is not None
            self.host.interrupt(Interrupted())
            self.came_through = True

    def train_start(self) -> None:
        self._record("train_start")

    def epoch_start(self) -> None:
        self._record("epoch_start")

    def batch(self, step: Step) -> None:
        self._record("batch")

    def epoch_end(self) -> None:
        self._record("epoch_end")

    def train(self) -> None:
        self._record("train")

    def train_end(self) -> None:
        self._record("train_end")


@pytest.mark.parametrize(
    ("stage", "waits", "last_stage"),
    [
        ("train_start", False, Stage.TRAIN_START),
        ("epoch_start", True, Stage.EPOCH_START),
        ("batch", True, Stage.BATCH_END),
        ("epoch_end", False, Stage.EPOCH_END),
        ("train", True, Stage.TRAIN),
        ("train_end", False, Stage.TRAIN_END),
    ],
)
def test_an_interruption_waits_while_something_would_be_left_half_done(
    stage: str, waits: bool, last_stage: Stage
) -> None:
    trace, saves, interrupts = Trace(), Saves(), Interrupts(stage)
    host = interrupts.host = TrainingHost([trace, Drive(), Epochs(), saves, interrupts])
    with pytest.raises(Interrupted):
        host.run()
    assert trace.stages[-1] == last_stage, "all hooks of the stage were called"
    assert interrupts.came_through == waits
    assert len(saves.states) == int(waits or stage == "epoch_end")


def test_an_interruption_in_an_evaluation_saves_what_was_trained_before_it() -> None:
    class Rows:
        """Writes down an epoch, before the interruption comes."""

        def __init__(self) -> None:
            self.rows: list[int] = []

        def epoch_end(self) -> None:
            self.rows.append(len(self.rows))

        def state_dict(self) -> dict[str, Any]:
            return {"rows": self.rows}

        def load_state_dict(self, state: dict[str, Any]) -> None:
            self.rows = state["rows"]

    saves, interrupts = Saves(), Interrupts("epoch_end")
    host = interrupts.host = TrainingHost([Drive(3), Rows(), Epochs(), saves, interrupts])
    with pytest.raises(Interrupted):
        host.run()
    rows, drive, trace = Rows(), Drive(3), Trace()
    others = [drive, rows, Epochs(), Saves(), Interrupts("never")]
    other = TrainingHost([*others, trace])
    other.load_state_dict(saves.states[0])
    other.run()
    assert rows.rows == [0], "epoch_end is called once more, for all plugins"
    assert Stage.BATCH not in trace.stages
    assert drive.given == 3


def test_a_run_that_was_interrupted_between_steps_goes_on_with_the_next() -> None:
    saves, interrupts, trace = Saves(), Interrupts("batch"), Trace()
    host = interrupts.host = TrainingHost([Drive(3), Epochs(), saves, interrupts, trace])
    with pytest.raises(Interrupted):
        host.run()
    again = Trace()
    other = TrainingHost([Drive(3), Epochs(), Saves(), Interrupts("never"), again])
    other.load_state_dict(saves.states[0])
    other.run()
    assert trace.stages.count(Stage.BATCH_END) == 1
    assert again.stages.count(Stage.BATCH_END) == 2
    assert Stage.EPOCH_START not in again.stages


def test_the_run_happens_within_what_it_is_given() -> None:
    told: list[str] = []

    @contextmanager
    def within() -> Iterator[None]:
        told.append("begins")
        yield
        told.append("ends")

    class Closes:
        def epoch_end(self) -> None:
            told.append("epoch")

        def close(self) -> None:
            told.append("closed")

    host = TrainingHost([Drive(), Epochs(), Closes()])
    host.run_context = within
    host.run()
    assert told == ["begins", "epoch", "closed", "ends"]


def test_what_fails_once_it_was_interrupted_is_that_interruption() -> None:
    class Fails:
        def batch(self, step: Step) -> None:
            host.interrupt(Interrupted())
            raise RuntimeError("a worker got the signal too, and is gone")

    host = TrainingHost([Drive(), Epochs(), Fails()])
    with pytest.raises(Interrupted) as ended:
        host.run()
    assert isinstance(ended.value.__cause__, RuntimeError)


class Measures(Trace):
    """Notes what was measured within an epoch, after which batch."""

    def __init__(self, drive):
        super().__init__()
        self.drive, self.measured = drive, []

    def within_epoch(self):
        super().within_epoch()
        draw()
        self.measured.append(self.drive.given)

    def interrupted(self):
        return ShouldSave(lambda state: self.states.append(copy.deepcopy(state)))


class AfterEverySecond:
    def __init__(self, drive):
        self.drive = drive

    def batch_end(self, step):
        return ShouldEvaluate() if self.drive.given % 2 == 0 else None


def measuring(batches=3, **kinds):
    drive = Drive(batches)
    measures = kinds.get("measures", Measures)(drive)
    measures.states = []
    learner = Learner()
    plugins = [drive, learner, measures, AfterEverySecond(drive), Epochs(2)]
    return measures, learner, TrainingHost(plugins, seed=3)


def test_an_evaluation_within_an_epoch_comes_before_the_next_batch_and_draws_nothing():
    measures, learner, host = measuring()
    host.run()
    assert measures.measured == [2, 4, 6]
    first = [*BATCH, *BATCH, Stage.WITHIN_EPOCH, *BATCH]
    second = [*BATCH, Stage.WITHIN_EPOCH, *BATCH, *BATCH, Stage.WITHIN_EPOCH]
    closing = [Stage.EPOCH, Stage.EPOCH_END]
    epochs = [[Stage.EPOCH_START, *part, *closing] for part in (first, second)]
    assert measures.stages[1:-2] == [*epochs[0], *epochs[1]]
    bare = Learner()
    TrainingHost([Drive(3), bare, Epochs(2)], seed=3).run()
    assert learner.weight.tolist() == bare.weight.tolist()


def interrupted_in(stage):
    class Interrupts(Measures):
        is_left = False

        def _record(self, called):
            super()._record(called)
            if called is stage and self.drive.given == 2 and not self.is_left:
                self.is_left = True
                self.host.interrupt(Interrupted())

    return Interrupts


@pytest.mark.parametrize("stage", [Stage.WITHIN_EPOCH, Stage.BATCH])
def test_one_that_is_interrupted_is_made_when_the_run_goes_on(stage):
    whole, learner, host = measuring()
    host.run()

    left, _, host = measuring(measures=interrupted_in(stage))
    left.host = host
    with pytest.raises(Interrupted):
        host.run()
    assert left.measured == []
    assert [state["is_to_evaluate"] for state in left.states] == [True]

    resumed, again, host = measuring()
    host.load_state_dict(left.states[0])
    host.run()
    assert resumed.measured == whole.measured
    assert again.weight.tolist() == learner.weight.tolist()
