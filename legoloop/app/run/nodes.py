"""The machines of one run, where a launcher gives it several: how they meet, and what they say.

The process of the run is on the first. It holds a store of torch's, and writes where that is into a
file in a folder that all machines see. Each other machine has an agent, which starts its ranks
(``node_agent.py``). What they say is JSON under a key of the store; whoever cannot reach the store
any more has lost the run.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from platform import node as hostname
from threading import Event, Thread
from typing import Any

from legoloop.app.run.local_ranks import SHUTDOWN_TIMEOUT, LocalRanks, Place, Report
from legoloop.app.run.rank_files import RankFailure
from legoloop.app.run.rendezvous import Rendezvous
from legoloop.core.atomic_files import atomic_write
from legoloop.core.errors import ConfigError, DataError
from legoloop.core.interruption import Interrupted
from legoloop.core.record_files import parse_json, read_bytes
from legoloop.core.text import printable

LOOK_EVERY = 0.5
"""Seconds between two looks at what others say."""
PATIENCE = 600.0
"""Seconds that machines wait for each other at the beginning."""
EXPIRY = 30.0
"""Seconds without a sign of life after which a machine is taken for lost."""
REPORT_TIMEOUT = 15.0
"""Seconds that machines have to say how their ranks ended, once those of one have."""


class Node:
    """One of the machines of a run.

    Args:
        number: from 0.
        count: how many there are.
        host: the name or address of the first one.
        port: of its store; 0: this is the first one, and any free port will do.
    """

    def __init__(self, number: int, count: int, host: str, port: int = 0) -> None:
        self.number, self.count = number, count
        self._host, self._port = host, port
        self._store = self._connect()
        self._port = self._store.port
        self._silent: set[int] = set()
        self.set(f"here/{number}", hostname())

    @property
    def port(self) -> int:
        """That of the store."""
        return self._port

    @property
    def place(self) -> Place:
        """That of this machine among those of the run."""
        return Place(self.number, self.count, f"{self._host}:{self._port}")

    def set(self, key: str, value: Any = None) -> None:
        """Set a value that all machines can read."""
        self._store.set(f"legoloop/{key}", json.dumps(value))

    def has(self, *keys: str) -> bool:
        """Whether all of these keys are set."""
        return bool(self._store.check([f"legoloop/{key}" for key in keys]))

    def get(self, key: str) -> Any:
        """The value of a key."""
        return json.loads(self._store.get(f"legoloop/{key}"))

    def beat(self) -> None:
        """Show that this machine lives."""
        self._store.add(f"legoloop/beat/{self.number}", 1)

    def beats_of(self, number: int) -> int:
        """How often a machine has shown that it lives."""
        return int(self._store.add(f"legoloop/beat/{number}", 0))

    def wait_for_all(self, ranks: LocalRanks) -> None:
        """As the first one: wait until all are there.

        Raises Interrupted if ``ranks`` are interrupted meanwhile, DataError after ten minutes.
        """
        give_up = time.monotonic() + PATIENCE
        while not self.has_all():
            if (number := ranks.interruption) is not None:
                raise Interrupted(number)
            if time.monotonic() > give_up:
                there = sum(self.has(f"here/{number}") for number in range(self.count))
                raise DataError(
                    f"{there} of {self.count} machines have come within {PATIENCE / 60:g} minutes; "
                    "the logs of the others may say why"
                )
            time.sleep(LOOK_EVERY)

    def has_all(self) -> bool:
        """Whether all machines are there."""
        return self.has(*(f"here/{number}" for number in range(self.count)))

    @contextmanager
    def watching(self, ranks: LocalRanks) -> Iterator[None]:
        """While inside, ``ranks`` are ended when those of another machine have failed."""
        done = Event()
        thread = Thread(target=self._watch, args=(ranks, done), daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join(timeout=4 * LOOK_EVERY)

    def report(self, report: Report) -> None:
        """Report how the ranks of this machine ended."""
        self.set(f"report/{self.number}", asdict(report))
        if report:
            self.set("failed", self.number)

    def reports(self, own: Report, ranks: int) -> Report:
        """As the first one: how the ranks of all machines ended that failed.

        Args:
            own: how those of this machine did.
            ranks: how many the run has, on all machines.
        """
        said, missing = own, set(range(1, self.count)) - self._silent
        give_up = time.monotonic() + REPORT_TIMEOUT
        while missing and time.monotonic() < give_up:
            for number in list(missing):
                if self.has(f"report/{number}"):
                    said |= _report_from(self.get(f"report/{number}"))
                    missing.remove(number)
            time.sleep(0.05 if missing else 0)
        if said or self._silent:
            for number in missing | self._silent:
                said |= self._lost(number, ranks)
        return said

    def _lost(self, number: int, ranks: int) -> Report:
        name = printable(str(self.get(f"here/{number}")))
        its = Place(number, self.count).ranks(ranks)
        message = f"its machine, {name}, ended without a word"
        return Report({its[0]: RankFailure("mistake", message, time.time())})

    def _watch(self, ranks: LocalRanks, done: Event) -> None:
        """Show that this machine lives, and look at what the others say."""
        try:
            beats = Beats(self, self.count)
            while not done.wait(LOOK_EVERY):
                self.beat()
                if self.has("failed"):
                    done.wait(SHUTDOWN_TIMEOUT)  # theirs notice it, and say what they lost
                    break
                if self.number > 0 and self.has("over"):
                    break
                if self.number == 0 and (silent := beats.silent()):
                    self._silent |= silent
                    break
        except RuntimeError:  # torch's: the first machine does not answer
            pass
        if not done.is_set():
            ranks.end()

    def _connect(self) -> Any:
        from torch.distributed import TCPStore  # type: ignore[attr-defined]

        is_first = self.number == 0
        timeout = timedelta(seconds=60)
        shared = {"wait_for_workers": False, "multi_tenant": True}
        return TCPStore(self._host, self._port, None, is_first, timeout, **shared)


class Beats:
    """The signs of life of the other machines, as the first one sees them.

    Args:
        node: the first one.
        count: how many there are.
    """

    def __init__(self, node: Node, count: int) -> None:
        self._node = node
        self._seen = dict.fromkeys(range(1, count), (0, time.monotonic()))

    def silent(self) -> set[int]:
        """Those machines that have shown none for too long."""
        now = time.monotonic()
        for number, (beat, _) in self._seen.items():
            if (latest := self._node.beats_of(number)) != beat:
                self._seen[number] = latest, now
        return {number for number, (_, at) in self._seen.items() if now - at > EXPIRY}


_first: ContextVar[Node | None] = ContextVar("first", default=None)


def first_node() -> Node | None:
    """This machine, if the launcher has given the run several, of which it is the first."""
    return _first.get()


def check_is_given(nodes: int) -> None:
    """Raises ConfigError if a run asks for several machines, and nobody has given it any.

    >>> check_is_given(1)
    >>> check_is_given(2)
    Traceback (most recent call last):
    legoloop.core.errors.ConfigError: nodes: is 2, but this run has one machine; start it with \
torchrun on each of them, or with -m and hydra/launcher=slurm or ray
    """
    if nodes > 1 and _first.get() is None:
        raise ConfigError(
            f"is {nodes}, but this run has one machine",
            key="nodes",
            remedy="start it with torchrun on each of them, or with -m and hydra/launcher=slurm "
            "or ray",
        )


@contextmanager
def first_of(rendezvous: Rendezvous, host: str) -> Iterator[None]:
    """While inside, a run may have ranks on all machines of a rendezvous.

    Args:
        rendezvous: of this attempt at the run.
        host: the name or address by which the others reach this machine.
    """
    node = Node(0, rendezvous.nodes, host)
    _write(rendezvous.file, {"host": host, "port": node.port})
    token = _first.set(node)
    try:
        yield
    finally:
        _first.reset(token)
        node.set("over")
        if node.has_all():
            rendezvous.file.unlink(missing_ok=True)
        else:  # those that are late need not wait
            _write(rendezvous.file, {})


def joined(rendezvous: Rendezvous, number: int) -> Node | None:
    """As a machine other than the first: meet that one; None if the run is over already.

    Raises DataError if it does not tell where it is within ten minutes, or cannot be reached.
    """
    give_up = time.monotonic() + PATIENCE
    while True:
        try:
            place = parse_json(read_bytes(rendezvous.file))
            break
        except (OSError, ValueError):
            if time.monotonic() > give_up:
                raise DataError(
                    f"{rendezvous.file} has not come within {PATIENCE / 60:g} minutes; "
                    "all machines of a run must see its folder"
                ) from None
            time.sleep(LOOK_EVERY)
    if not place:
        return None
    try:
        return Node(number, rendezvous.nodes, place["host"], place["port"])
    except RuntimeError:
        raise DataError(
            f"the first machine of the run, {printable(str(place['host']))}, does not answer at "
            f"port {place['port']}; machines of a run must reach each other"
        ) from None


def _write(file: Path, place: dict[str, Any]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(file) as draft:
        draft.write_text(json.dumps(place))


def _report_from(said: Any) -> Report:
    failures = {int(rank): RankFailure(**failure) for rank, failure in said["failures"].items()}
    return Report(failures, {int(rank): status for rank, status in said["died"].items()})
