"""``python -m legoloop`` tells which commands there are, and the version."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

import legoloop
from legoloop.__main__ import COMMANDS, main
from tests.app.command import Command


@pytest.fixture
def command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Command:
    return Command(tmp_path, monkeypatch, capfd)


def test_it_tells_the_commands_that_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    main([])
    told = capsys.readouterr().out
    main(["--help"])
    assert capsys.readouterr().out == told
    for name in COMMANDS:
        assert f"python -m legoloop.{name} " in told
        assert importlib.util.find_spec(f"legoloop.{name}") is not None


def test_the_version_is_that_of_legoloop(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--version"])
    assert capsys.readouterr().out == f"legoloop {legoloop.__version__}\n"


def test_the_command_tells_it_too_wherever_the_flag_stands(command: Command) -> None:
    for arguments in (["--version"], ["data=xor", "--version"]):
        ended = command(*arguments)
        assert (ended.status, ended.err) == (0, "")
        assert ended.out.startswith(f"legoloop {legoloop.__version__} (Hydra ")
    assert command.files() == []


@pytest.mark.parametrize(
    ("given", "meant"), [("evaluate", "evaluate"), ("data=xor", "run"), ("--verbose", "run")]
)
def test_what_is_meant_for_a_command_is_told_where_it_goes(
    given: str, meant: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main([given, "more"])
    assert ended.value.code == 2
    assert capsys.readouterr().err == f"error: {given}: write python -m legoloop.{meant} …\n"
