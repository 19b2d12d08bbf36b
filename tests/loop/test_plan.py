from __future__ import annotations

import warnings

import pytest
from torch import nn

from legoloop.core.errors import PluginError
from legoloop.loop.plan import Plan
from legoloop.loop.stages import Stage
from tests.loop.tiny_plugins import Drive, Epochs, Trace


class Reader:
    def __init__(self, source, after=(), before=()):
        self.source = source
        self.after = after
        self.before = before

    def epoch_end(self):
        pass


def order(plugins):
    return list(Plan.of(plugins).plugins)


def test_hooks_are_called_after_those_of_referenced_plugins():
    epochs = Epochs()
    assert order({"reader": Reader([epochs]), "drive": Drive(), "epochs": epochs}) == [
        "drive",
        "epochs",
        "reader",
    ]


def test_the_given_order_stands_where_no_tie_says_otherwise():
    assert order([Trace(), Epochs(), Drive()]) == ["Trace", "Epochs", "Drive"]
    assert order([Drive(), Epochs(), Trace()]) == ["Drive", "Epochs", "Trace"]


@pytest.mark.parametrize("wanted", ["last", "Epochs", Epochs, ("last",), ["Epochs"]])
def test_after_and_before_take_names_and_classes(wanted):
    late, early = Reader(None, after=wanted), Reader(None, before=wanted)
    plugins = {"late": late, "last": Epochs(), "early": early, "drive": Drive()}
    ordered = order(plugins)
    assert ordered.index("early") < ordered.index("last") < ordered.index("late")


def test_a_base_class_stands_for_its_subclasses():
    class Mine(Trace):
        pass

    mine, reader = Mine(), Reader(None, after="Trace")
    assert order({"reader": reader, "mine": mine, "drive": Drive()})[0] == "mine"


def test_a_missing_peer_is_named():
    with pytest.raises(PluginError) as refused:
        Plan.of({"reader": Reader(None, before=("board",)), "drive": Drive()})
    assert str(refused.value) == (
        "plugin 'reader' wants to be before 'board', which is not among the plugins: reader, drive"
    )


@pytest.mark.parametrize("odd", [5, ("drive", 5), None])
def test_peers_that_are_neither_names_nor_classes_are_refused(odd):
    with pytest.raises(PluginError) as refused:
        Plan.of({"reader": Reader(None, after=odd), "drive": Drive()})
    assert str(refused.value) == (
        f"plugin 'reader': its after is {odd!r}; give the names or classes of plugins"
    )


def test_a_cycle_names_its_plugins():
    first = Reader(None)
    first.source = second = Reader(first)
    with pytest.raises(PluginError) as refused:
        Plan.of({"first": first, "drive": Drive(), "second": second})
    assert str(refused.value).startswith(
        "plugins wait for each other: first after second after first; "
    )


def test_no_driver_is_refused_with_the_plugins_found():
    with pytest.raises(PluginError, match=r"^no epoch driver .*; found epochs, trace$"):
        Plan.of({"epochs": Epochs(), "trace": Trace()})
    with pytest.raises(PluginError, match=r"found no plugins at all$"):
        Plan.of([])


def test_two_drivers_are_named():
    with pytest.raises(PluginError) as refused:
        Plan.of({"one": Drive(), "other": Drive()})
    assert str(refused.value) == "2 epoch drivers among the plugins: one, other; keep one"


def test_batches_of_something_is_another_method_than_the_drivers():
    class Evaluation(Epochs):
        def batches(self, name):
            return []

    assert Plan.of([Evaluation(), Drive()]).driver == "Drive"


def test_a_driver_may_have_settings():
    class Tunable(Drive):
        def batches(self, most=None, *more, **others):
            return super().batches()

    assert Plan.of([Tunable()]).driver == "Tunable"


def test_a_plugin_given_twice_is_kept_once_with_a_warning():
    drive, trace = Drive(), Trace()
    with pytest.warns(UserWarning, match=r"^plugin 'Trace' is given twice; it runs once$"):
        plan = Plan.of([trace, drive, trace])
    assert list(plan.plugins) == ["Trace", "Drive"]
    assert all(len(plan.calls(stage)) >= 1 for stage in Stage)
    assert len(plan.calls(Stage.BATCH)) == 1


def test_twins_that_are_equal_but_not_the_same_are_both_kept():
    class Same(Trace):
        def __eq__(self, other):
            return True

        __hash__ = object.__hash__

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert order([Same(), Same(), Drive()]) == ["Same", "Same_2", "Drive"]


def test_in_a_list_plugins_are_named_by_their_name_or_their_class():
    named = Trace()
    named.name = "mine"
    assert order([named, Trace(), Trace(), Drive()]) == ["mine", "Trace", "Trace_2", "Drive"]


def test_two_plugins_of_one_name_are_refused():
    one, other = Trace(), Epochs()
    one.name = other.name = "mine"
    with pytest.raises(PluginError, match=r"^two plugins are named 'mine'"):
        Plan.of([one, other, Drive()])


@pytest.mark.parametrize("deaf", [None, object(), "counter", nn.Linear(1, 1)])
def test_a_plugin_without_hooks_and_scalars_is_rejected(deaf):
    with pytest.raises(
        PluginError, match=r"^plugin 'deaf', a \w+, has no method of a stage and no scalars"
    ):
        Plan.of({"deaf": deaf, "drive": Drive()})


def test_a_source_alone_is_a_plugin():
    class Source:
        def scalars(self):
            return {}

    assert order([Source(), Drive()]) == ["Source", "Drive"]


def test_calls_are_the_hooks_of_the_stage_in_order():
    late, early = Reader(None, after="early"), Reader(None)
    plan = Plan.of({"late": late, "early": early, "drive": Drive()})
    assert plan.calls(Stage.EPOCH_END) == [early.epoch_end, late.epoch_end]
    assert plan.calls(Stage.BATCH) == []


def test_the_table_marks_hooks_and_where_the_batches_run():
    lines = Plan.of({"trace": Trace(), "drive": Drive()}).table().splitlines()
    assert lines[0].split() == list(Stage)
    rows = {line.split()[0]: dict(zip(Stage, line.split()[1:], strict=True)) for line in lines[1:]}
    assert list(rows) == ["trace", "drive"]
    assert (rows["trace"][Stage.EPOCH], rows["drive"][Stage.EPOCH]) == ("x", "D")
    assert (rows["trace"][Stage.BATCH], rows["drive"][Stage.BATCH]) == ("x", ".")
    assert rows["drive"][Stage.EPOCH_START] == "x"
