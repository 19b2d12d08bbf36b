from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import pytest
from torch import nn

from legoloop.loop.references import referenced_objects


class Thing:
    def method(self):
        pass


class Holder:
    def __init__(self, held):
        self.held = held


@pytest.mark.parametrize(
    "wrap",
    {
        "attribute": lambda thing: thing,
        "list": lambda thing: [0, thing],
        "tuple": lambda thing: (thing,),
        "set": lambda thing: {thing},
        "value": lambda thing: {"key": thing},
        "key": lambda thing: {thing: 0},
        "nested": lambda thing: {"a": [({"b": thing},)]},
        "bound method": lambda thing: thing.method,
        "partial of a method": lambda thing: partial(thing.method),
        "positional argument": lambda thing: partial(print, thing),
        "named argument": lambda thing: partial(print, end=[thing]),
    }.items(),
    ids=lambda item: item[0],
)
def test_held_through(wrap):
    thing = Thing()
    assert any(found is thing for found in referenced_objects(Holder(wrap[1](thing))))


def test_slots_are_read_and_unset_ones_are_not_missed():
    class Base:
        __slots__ = ("first",)

    class Slotted(Base):
        __slots__ = ("second", "unset")

    slotted = Slotted()
    slotted.first, slotted.second = Thing(), Thing()
    assert set(referenced_objects(slotted)) == {slotted.first, slotted.second}


@dataclass(slots=True)
class Slim:
    held: Thing


def test_dataclasses_with_slots_are_read():
    thing = Thing()
    assert list(referenced_objects(Slim(thing))) == [thing]


def test_what_a_held_object_holds_is_its_own():
    thing = Thing()
    assert not any(found is thing for found in referenced_objects(Holder(Holder(thing))))


def test_the_submodules_of_a_module_are_held():
    module = nn.Sequential(nn.ReLU())
    assert any(found is module[0] for found in referenced_objects(module))


def test_containers_that_hold_themselves_and_the_plugin_do_no_harm():
    endless: list[object] = []
    endless.append(endless)
    holder = Holder(endless)
    endless.append(holder)
    assert list(referenced_objects(holder)) == []


def test_objects_with_odd_equality_are_told_apart_by_identity():
    class Equal:
        __hash__ = None

        def __eq__(self, other):
            raise AssertionError

    one, two = Equal(), Equal()
    assert [id(found) for found in referenced_objects(Holder([one, two]))] == [id(one), id(two)]
