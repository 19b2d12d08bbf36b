from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time

import pytest

from legoloop.app.signals import SIGNALS, interruptions
from legoloop.core.interruption import Interrupted


def handlers() -> list[object]:
    return [signal.getsignal(number) for number in SIGNALS]


@pytest.mark.parametrize("number", SIGNALS)
def test_ends_what_goes_on_at_once(number: int) -> None:
    before = handlers()
    with pytest.raises(Interrupted) as told, interruptions():
        os.kill(os.getpid(), number)
        time.sleep(10)
    assert told.value.number == number
    assert handlers() == before


def test_a_second_ctrl_c_does_not_wait() -> None:
    heard: list[Interrupted] = []
    with pytest.raises(Interrupted), interruptions(heard.append):
        os.kill(os.getpid(), signal.SIGINT)
        assert len(heard) == 1
        os.kill(os.getpid(), signal.SIGINT)
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
    time.sleep(60)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_worker_waits_for_its_parent_or_goes(number: signal.Signals) -> None:
    context = multiprocessing.get_context("fork")
    heard: list[Interrupted] = []
    with interruptions(heard.append):
        ready = context.Event()
        worker = context.Process(target=_sleeps, args=(ready,))
        worker.start()
        assert ready.wait(20)
        assert worker.pid is not None
        os.kill(worker.pid, number)
        if number == signal.SIGTERM:
            worker.join(20)
            assert worker.exitcode == -signal.SIGTERM
        else:
            worker.join(0.5)
            assert worker.is_alive(), "Ctrl-C reaches it too, but its parent may need it"
            worker.kill()
            worker.join()
    assert heard == []
