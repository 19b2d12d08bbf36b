from __future__ import annotations

from threading import Thread

import pytest

from legoloop.app.run.command_state import CommandState, current_command, new_command


def test_a_command_has_one_state_until_it_ends() -> None:
    with new_command() as state:
        assert state == CommandState(has_composed=False, prepared={})
        current_command().has_composed = True
        assert current_command() is state
        assert state.has_composed


def test_one_command_after_another_begins_anew() -> None:
    with new_command() as first:
        first.has_composed = True
    with new_command() as second:
        assert second is not first
        assert not second.has_composed


def test_a_command_within_another_is_its_own() -> None:
    with new_command() as outer:
        with new_command() as inner:
            assert current_command() is inner
        assert current_command() is outer


def test_a_command_that_fails_ends_too() -> None:
    def fails() -> None:
        with new_command():
            raise ValueError("inside")

    with new_command() as outer:
        with pytest.raises(ValueError, match="inside"):
            fails()
        assert current_command() is outer


def test_a_job_in_a_process_of_its_own_begins_after_composing() -> None:
    """As in any new context: there is no command in it, and nothing is prepared."""
    states: list[CommandState] = []

    def job() -> None:
        states.extend([current_command(), current_command()])

    thread = Thread(target=job)
    thread.start()
    thread.join()
    assert states[0] is states[1]
    assert states[0] == CommandState(has_composed=True, prepared={})
