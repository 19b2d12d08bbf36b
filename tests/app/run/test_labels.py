"""Name, tags and notes of a run: in its record, and no part of what it does."""

from __future__ import annotations

from pathlib import Path

import pytest

from legoloop.app.run.lifecycle import lock_directory, prepare, recording
from legoloop.app.run.resume import check_unchanged
from legoloop.core.errors import ConfigError
from legoloop.results.reading import read_runs
from legoloop.state.run_record import read_record
from tests.app.composed import XOR, blueprint_of, refusal

NAMED = ("name='lr-${optimizer.lr}'", "optimizer.lr=0.5", "tags=[baseline, a b]", "notes='x: y'")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def recorded(*overrides: str) -> None:
    """A run with these overrides that was interrupted before its first step."""
    prepared = prepare(blueprint_of(*XOR, *overrides))
    record = lock_directory(prepared)
    with pytest.raises(KeyboardInterrupt), recording(prepared, record):
        raise KeyboardInterrupt


def test_they_are_in_the_record_and_in_what_is_read_of_it() -> None:
    recorded(*NAMED)
    labels = {"name": "lr-0.5", "tags": ["baseline", "a b"], "notes": "x: y"}
    assert labels.items() <= read_record(Path("run")).items()
    (run,) = read_runs("run").runs
    assert {key: run.value(key) for key in labels} == labels
    assert not labels.keys() & run.config.keys()


def test_a_run_without_them_has_none_of_them() -> None:
    recorded()
    assert not {"name", "tags", "notes"} & read_record(Path("run")).keys()


def test_another_name_is_no_other_configuration() -> None:
    recorded(*NAMED)
    given = (*XOR, "optimizer.lr=0.5")
    for others in ((), ("name=other",), ("tags=[]", "notes=new"), ("profile=true",)):
        check_unchanged(blueprint_of(*given, *others), {}, Path("run"))
    with pytest.raises(ConfigError, match=r"optimizer\.lr was 0\.5, is 0\.25"):
        check_unchanged(blueprint_of(*XOR, "optimizer.lr=0.25", NAMED[0]), {}, Path("run"))


def test_a_run_from_before_there_were_names_goes_on() -> None:
    recorded()
    config = Path("run/config.yaml")
    lines = config.read_text().splitlines()
    kept = [line for line in lines if not line.startswith(("name:", "tags:", "notes:"))]
    assert len(kept) == len(lines) - 3
    config.write_text("\n".join(kept) + "\n")
    check_unchanged(blueprint_of(*XOR, "name=new"), {}, Path("run"))


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("name=3", "name (command line): is 3; give a text or null"),
        ("tags=baseline", "tags (command line): is 'baseline'; give a list of names"),
        ("tags=[1]", "tags (command line): is [1]; give a list of names"),
        ("nmae=a", "nmae (command line): nothing takes this key; did you mean name?"),
    ],
)
def test_what_is_none_is_refused(override: str, told: str) -> None:
    plus = "+" if override.startswith("nmae") else ""
    assert refusal(*XOR, f"{plus}{override}").removeprefix("error: ") == told
