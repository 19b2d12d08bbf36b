"""Numbers travel alike over sockets and by gloo, and a rank that ends is noticed at once."""

from __future__ import annotations

import socket
import time
from typing import Any

import pytest

from legoloop.core import rank_exchange
from legoloop.core.rank_exchange import Exchange, GlooExchange, SocketExchange, exchange_of
from legoloop.core.rank_group import RankGroup, RankLost
from tests.ranks import on_ranks

pytestmark = pytest.mark.slow

ROWS = 3


def exchange_here(rank: int, size: int, timeout: float = 30) -> Exchange:
    from torch import distributed

    distributed.init_process_group("gloo", rank=rank, world_size=size)
    return exchange_of(distributed.new_group(backend="gloo"), rank, size, 2, timeout)


def rows_of(rank: int, size: int) -> Any:
    exchange = exchange_here(rank, size)
    found = []
    for number in range(ROWS):
        exchange.send((rank, number + 0.1))
        found.append(exchange.receive())
    exchange.close()
    return type(exchange).__name__, found


EXPECTED = [[(float(rank), number + 0.1) for rank in range(3)] for number in range(ROWS)]


def test_on_one_machine_rows_travel_over_sockets() -> None:
    assert on_ranks(3, lambda rank: rows_of(rank, 3)) == [(SocketExchange.__name__, EXPECTED)] * 3


@pytest.mark.parametrize("elsewhere", [0, 2])
def test_one_rank_on_another_machine_is_enough_for_gloo(elsewhere: int) -> None:
    def call(rank: int) -> Any:
        if rank == elsewhere:  # its folder is on no other machine, and those of others not on it
            rank_exchange._connect = lambda place, rank: None
            real = rank_exchange._open_listener
            rank_exchange._open_listener = lambda place, size: real(place.with_name("hidden"), size)
        return rows_of(rank, 3)

    assert on_ranks(3, call) == [(GlooExchange.__name__, EXPECTED)] * 3


def test_without_unix_sockets_rows_travel_by_gloo() -> None:
    def call(rank: int) -> Any:
        del socket.AF_UNIX
        return rows_of(rank, 3)

    assert on_ranks(3, call) == [(GlooExchange.__name__, EXPECTED)] * 3


@pytest.mark.parametrize("transport", [SocketExchange, GlooExchange])
def test_a_rank_that_ends_is_noticed_without_waiting_for_it(transport: type) -> None:
    def call(rank: int) -> Any:
        if transport is GlooExchange:
            rank_exchange._open_listener = lambda place, size: None
        group = RankGroup(rank, 2, timeout=600)  # longer than the test waits for an answer
        if rank == 1:
            return None
        with pytest.raises(RankLost, match=r"Connection (closed|reset) by peer"):
            group.exchange("step")
        return type(group._exchange)

    assert on_ranks(2, call) == [transport, None]


def test_what_a_rank_said_before_it_ended_is_received() -> None:
    def call(rank: int) -> Any:
        exchange = exchange_here(rank, 2)
        if rank == 1:
            exchange.send((1, 0.5))
            exchange.close()
            return None
        time.sleep(0.5)
        exchange.send((0, 0.25))
        return exchange.receive()

    assert on_ranks(2, call) == [[(0.0, 0.25), (1.0, 0.5)], None]


def test_a_rank_that_does_not_answer_is_given_up() -> None:
    def call(rank: int) -> Any:
        exchange = exchange_here(rank, 2, timeout=0.2)
        if rank == 1:
            time.sleep(1)
            return None
        exchange.send((0, 0))
        with pytest.raises(TimeoutError):
            exchange.receive()
        return True

    assert on_ranks(2, call) == [True, None]
