from __future__ import annotations

from collections import OrderedDict, UserDict, deque, namedtuple
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import pytest
import torch
from torch.nn.utils.rnn import pack_sequence
from torch.utils._pytree import register_pytree_node

from legoloop.core.batch_size import SizedBatch
from legoloop.core.nested import (
    Columns,
    detached,
    map_nested,
    moved_to,
    named_tensors,
    opened,
    pinned,
)

Pair = namedtuple("Pair", "left right")
META = torch.device("meta")


class Graph:
    """Has a ``to`` of its own, as graphs and encodings of other libraries do."""

    device = torch.device("cpu")

    def to(self, device: torch.device) -> Graph:
        moved = Graph()
        moved.device = device
        return moved


@dataclass(frozen=True)
class Tokens:
    """Frozen, and with a field that it computes itself."""

    ids: torch.Tensor
    length: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        object.__setattr__(self, "length", len(self.ids))


@dataclass
class Moving:
    """A dataclass with a ``to`` of its own."""

    x: torch.Tensor
    moves: int = 0

    def to(self, device: torch.device) -> Moving:
        return Moving(self.x.to(device), self.moves + 1)


class Registered:
    """Known to torch's pytree."""

    def __init__(self, x: torch.Tensor) -> None:
        self.x = x


register_pytree_node(Registered, lambda each: ([each.x], None), lambda new, _: Registered(*new))


class Closed(dict[str, Any]):
    """A mapping that refuses to be changed, in its own way."""

    def update(self, *given: Any, **named: Any) -> None:
        raise Exception("you cannot use update")


@pytest.mark.parametrize(
    "container",
    [
        {"a": torch.ones(2)},
        OrderedDict(a=torch.ones(2)),
        UserDict(a=torch.ones(2)),
        SizedBatch({"a": torch.ones(2)}, 2),
        [torch.ones(2)],
        Columns([torch.ones(2)]),
        (torch.ones(2),),
        Pair(torch.ones(2), 3),
        Tokens(torch.ones(2)),
        deque([torch.ones(2)]),
        Registered(torch.ones(2)),
        {"deep": [({"er": torch.ones(2)},)]},
    ],
    ids=lambda container: type(container).__name__,
)
def test_containers_keep_their_type_and_everything_in_them_moves(container: Any) -> None:
    moved = moved_to(META, container)
    devices: list[torch.device] = []
    map_nested(lambda item: isinstance(item, torch.Tensor) and devices.append(item.device), moved)
    assert type(moved) is type(container)
    assert devices == [META]
    assert getattr(moved, "num_samples", 2) == 2


@pytest.mark.parametrize("cls", [MappingProxyType, Closed])
def test_a_mapping_that_cannot_be_changed_becomes_a_dict(cls: Any) -> None:
    assert map_nested(torch.numel, cls({"a": torch.ones(2)})) == {"a": 2}


def test_what_moves_itself_does_and_a_packed_sequence_is_one_thing() -> None:
    packed = pack_sequence([torch.ones(3), torch.ones(1)])
    moved = moved_to(META, {"graph": Graph(), "seq": packed, "names": ["a", "b"], "n": 3})
    assert moved["graph"].device == moved["seq"].data.device == META
    assert moved["seq"].batch_sizes.device.type == "cpu"
    assert (moved["names"], moved["n"]) == (["a", "b"], 3)


def test_text_and_numbers_are_not_walked_through() -> None:
    names = ["a"] * 3
    assert map_nested(lambda item: item, {"names": names})["names"] is names


def test_detached_has_no_graph_anywhere() -> None:
    y = torch.ones(2, requires_grad=True)
    packed = pack_sequence([2 * y])
    values = detached({"y": [y, (2 * y,)], "seq": packed})
    assert not values["y"][0].requires_grad
    assert not values["y"][1][0].requires_grad
    assert not values["seq"].data.requires_grad
    assert packed.data.requires_grad


def test_pinning_leaves_alone_what_is_not_on_the_host() -> None:
    on_meta = torch.ones(1, device="meta")
    assert pinned({"a": [on_meta], "name": "x"}) == {"a": [on_meta], "name": "x"}


def test_a_dataclass_is_copied_as_it_is_and_may_move_itself() -> None:
    tokens = Tokens(torch.ones(3))
    moved = moved_to(META, {"tokens": tokens, "moving": Moving(torch.ones(1))})
    assert (moved["tokens"].length, moved["tokens"].ids.device) == (3, META)
    assert tokens.ids.device.type == "cpu"
    assert (moved["moving"].moves, moved["moving"].x.device) == (1, META)


def test_tensors_are_named_by_the_fields_and_keys_that_lead_to_them() -> None:
    value = {"a": [Tokens(torch.ones(1))], "b": Registered(torch.ones(1))}
    assert [name for name, _ in named_tensors(value)] == ["a.0.ids", "b.0"]


@pytest.mark.parametrize("value", ["ab", 3, None, torch.ones(2), Graph(), Tokens, torch.Size])
def test_what_is_no_container_is_not_opened(value: Any) -> None:
    assert opened(value) is None
