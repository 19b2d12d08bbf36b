"""What torchrun tells the processes that it starts."""

from __future__ import annotations

import pytest

from legoloop.app.startup.torchrun_environment import local_ranks, with_ranks
from legoloop.core.errors import ConfigError


@pytest.fixture(autouse=True)
def torchrun(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two machines, of which this one has one of three ranks."""
    told = {"TORCHELASTIC_RUN_ID": "run", "WORLD_SIZE": "3", "LOCAL_WORLD_SIZE": "1"}
    for name, value in {**told, "GROUP_WORLD_SIZE": "2"}.items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize("given", [[], ["ranks=3"], ["nodes=2", "seed=1"]])
def test_the_ranks_that_are_there_are_taken(given: list[str]) -> None:
    assert with_ranks(given) == [*given, "ranks=3"]
    assert local_ranks(3, nodes=1) == 1


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (["ranks=4"], "ranks: is 4, but torchrun has 3"),
        (["nodes=2", "nodes=3"], "nodes: is 3, but torchrun has 2"),
        (["-m"], "torchrun has started ranks, which train one run, but -m asks for a sweep"),
    ],
)
def test_other_numbers_are_refused(given: list[str], told: str) -> None:
    with pytest.raises(ConfigError) as error:
        with_ranks(given)
    assert str(error.value).startswith(told)


def test_without_it_each_machine_has_as_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TORCHELASTIC_RUN_ID")
    assert local_ranks(8, nodes=2) == 4
