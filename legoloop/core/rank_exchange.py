"""How ranks send each other a few numbers: over sockets on one machine, by gloo between several.

A step of a small model takes less time than a collective of gloo, in which threads of each rank
wait for each other. On one machine every two ranks have a socket of their own instead: a message
that has arrived is read at once, and a rank that ends is noticed at once.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Protocol

import torch
from torch import distributed

Row = tuple[float, ...]


class Exchange(Protocol):
    """Sends rows of numbers from each rank to all others; each is received before the next."""

    def send(self, row: Sequence[float]) -> None:
        """Begin to send the row of this rank, without waiting for the others."""
        ...

    def receive(self) -> list[Row]:
        """The rows of all ranks, in the order of the ranks.

        Raises RuntimeError or OSError if another rank ended, or sends none in time.
        """
        ...

    def close(self) -> None:
        """Nothing more is sent."""
        ...


class GlooExchange:
    """By gloo, between any machines.

    Args:
        group: a process group of gloo.
        size: how many ranks there are.
        columns: how many numbers a row has.
    """

    def __init__(self, group: Any, size: int, columns: int) -> None:
        self._group = group
        sent = torch.zeros(columns, dtype=torch.float64)
        received = torch.zeros(size, columns, dtype=torch.float64)
        self._tensors = [list(received.unbind())], [sent]
        # The same memory: numpy takes a tenth of the time for a few numbers.
        self._sent, self._received = sent.numpy(), received.numpy()
        self._pending: Any = None

    def send(self, row: Sequence[float]) -> None:
        self._sent[:] = row
        # ``distributed.all_gather`` takes half as long again.
        self._pending = self._group.allgather(*self._tensors)

    def receive(self) -> list[Row]:
        self._pending.wait()
        return list(map(tuple, self._received.tolist()))

    def close(self) -> None:
        """The group is its maker's."""


class SocketExchange:
    """Over Unix sockets, one to each other rank of this machine.

    Args:
        rank: the number of this rank.
        peers: the socket to each other rank.
        columns: how many numbers a row has.
        timeout: seconds after which a rank gives up waiting for another.
    """

    def __init__(
        self, rank: int, peers: dict[int, socket.socket], columns: int, timeout: float
    ) -> None:
        self._rank = rank
        self._peers = peers
        self._format = struct.Struct(f"{columns}d")
        self._own: Row = ()
        for peer in peers.values():
            peer.settimeout(timeout)

    def send(self, row: Sequence[float]) -> None:
        self._own = tuple(row)
        packed = self._format.pack(*row)
        for peer in self._peers.values():
            with suppress(BrokenPipeError, ConnectionResetError):  # it may have said why it ended
                peer.sendall(packed)

    def receive(self) -> list[Row]:
        peers = self._peers
        ranks = range(len(peers) + 1)
        return [self._own if rank == self._rank else self._row(rank, peers[rank]) for rank in ranks]

    def _row(self, rank: int, peer: socket.socket) -> Row:
        content = b""
        while len(content) < self._format.size:
            more = peer.recv(self._format.size - len(content))
            if not more:
                raise ConnectionResetError(f"Connection closed by peer, rank {rank}")
            content += more
        return self._format.unpack(content)

    def close(self) -> None:
        for peer in self._peers.values():
            peer.close()


def exchange_of(group: Any, rank: int, size: int, columns: int, timeout: float) -> Exchange:
    """Over sockets if all ranks are on this machine, else by gloo.

    Args:
        group: a process group of gloo, of all ranks.
        rank: the number of this rank.
        size: how many there are.
        columns: how many numbers a row has.
        timeout: seconds after which a rank gives up waiting for another over a socket.
    """
    peers = _connect_all(group, rank, size)
    if peers is None:
        return GlooExchange(group, size, columns)
    return SocketExchange(rank, peers, columns, timeout)


def _connect_all(group: Any, rank: int, size: int) -> dict[int, socket.socket] | None:
    """A socket to each other rank; None if one cannot be reached by any of them."""
    with TemporaryDirectory(prefix="legoloop-rank-") as folder, ExitStack() as on_failure:
        place = Path(folder) / "socket"
        listener = _open_listener(place, size)
        if listener is not None:
            on_failure.enter_context(listener)
        places = _all_gather(str(place) if listener is not None else None, group, size)
        peers = {}
        for other in range(rank):
            if (peer := _connect(places[other], rank)) is not None:
                peers[other] = on_failure.enter_context(peer)
        # They wait to be accepted: so no rank waits for one that comes from elsewhere.
        if listener is None or not all(_all_gather(len(peers) == rank, group, size)):
            return None
        for _ in range(rank + 1, size):
            peer, _ = listener.accept()
            peers[int.from_bytes(peer.recv(4, socket.MSG_WAITALL), "big")] = peer
        on_failure.pop_all()
        listener.close()
    return peers


def _open_listener(place: Path, size: int) -> socket.socket | None:
    """A socket at which others can connect; None if there can be none here."""
    if not hasattr(socket, "AF_UNIX"):
        return None
    listener = socket.socket(socket.AF_UNIX)
    try:
        listener.bind(str(place))
        listener.listen(size)
    except OSError:  # the path may be too long
        listener.close()
        return None
    return listener


def _connect(place: str | None, rank: int) -> socket.socket | None:
    """A socket that is connected to a place, which was told who connects; None if it is not."""
    if place is None:
        return None
    peer = socket.socket(socket.AF_UNIX)
    try:
        peer.connect(place)
        peer.sendall(rank.to_bytes(4, "big"))
    except OSError:  # of another machine
        peer.close()
        return None
    return peer


def _all_gather(value: Any, group: Any, size: int) -> list[Any]:
    found: list[Any] = [None] * size
    distributed.all_gather_object(found, value, group=group)
    return found
