from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable

import pytest

from legoloop.app.run.signals import SIGNALS, interruptions, raise_at_once
from legoloop.core.interruption import Interrupted


def handlers() -> list[object]:
    return [signal.getsignal(number) for number in SIGNALS]


def interrupted_by(*numbers: int, hear: Callable[[Interrupted], None] = raise_at_once) -> None:
    with interruptions(hear):
        for number in numbers:
            os.kill(os.getpid(), number)
        time.sleep(10)


@pytest.mark.parametrize("number", SIGNALS)
def test_ends_what_goes_on_at_once(number: int) -> None:
    before = handlers()
    with pytest.raises(Interrupted) as told:
        interrupted_by(number)
    assert told.value.number == number
    assert handlers() == before


def test_a_second_ctrl_c_does_not_wait() -> None:
    heard: list[Interrupted] = []
    with pytest.raises(Interrupted):
        interrupted_by(signal.SIGINT, signal.SIGINT, hear=heard.append)
    assert len(heard) == 1


def test_the_inner_one_hears() -> None:
    outer: list[Interrupted] = []
    inner: list[Interrupted] = []
    with interruptions(outer.append):
        with interruptions(inner.append):
            os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGUSR1)
    assert [str(each) for each in (*inner, *outer)] == ["SIGTERM", "SIGUSR1"]


def test_another_thread_leaves_the_handlers_alone() -> None:
    before = handlers()
    inside: list[list[object]] = []

    def run() -> None:
        with interruptions():
            inside.append(handlers())

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert inside == [before]


def _sleeps(ready: object) -> None:
    ready.set()  # type: ignore[attr-defined]
    for _ in range(600):  # a signal just before a long sleep would not be heard until its end
        time.sleep(0.1)


@pytest.mark.parametrize("number", SIGNALS)
def test_a_worker_goes_if_its_parent_asks_and_else_may_be_needed(number: signal.Signals) -> None:
    context = multiprocessing.get_context("fork")
    heard: list[Interrupted] = []
    with interruptions(heard.append):
        ready = context.Event()
        worker = context.Process(target=_sleeps, args=(ready,))
        worker.start()
        assert ready.wait(20)
        assert worker.pid is not None
        os.kill(worker.pid, number)
        worker.join(20 if number == signal.SIGTERM else 0.5)
        goes = number == signal.SIGTERM  # what multiprocessing sends, once
        assert worker.exitcode == (-signal.SIGTERM if goes else None)
        worker.kill()
        worker.join()
    assert heard == []
