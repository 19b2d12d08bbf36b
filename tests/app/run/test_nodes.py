"""What the machines of a run say to each other; with launchers: test_slurm.py, test_ray.py."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from legoloop.app.run import nodes
from legoloop.app.run.local_ranks import LocalRanks, Report
from legoloop.app.run.node_agent import join_run
from legoloop.app.run.nodes import Node, check_is_given, first_node, first_of, joined
from legoloop.app.run.rank_files import RankFailure, RankTask
from legoloop.app.run.rendezvous import Rendezvous
from legoloop.core.errors import ConfigError, DataError
from legoloop.core.interruption import Interrupted
from legoloop.state.run_record import read_record
from tests.app.command import environment
from tests.app.composed import blueprint_of, refusal
from tests.contracts.test_ranks import assert_same_run
from tests.ranks import train_alone

HOST = "localhost"
FAILED = Report({1: RankFailure("mistake", "the loss is nan", 2.0)}, {1: 1})


class Ranks(LocalRanks):
    """Of which it is told that they were ended."""

    was_ended = False

    def end(self) -> None:
        self.was_ended = True


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nodes, "LOOK_EVERY", 0.005)
    monkeypatch.setattr(nodes, "SHUTDOWN_TIMEOUT", 0)


@pytest.fixture
def rendezvous(tmp_path: Path) -> Rendezvous:
    return Rendezvous(tmp_path / "rendezvous.json", 2)


@pytest.fixture
def both(rendezvous: Rendezvous) -> Iterator[tuple[Node, Node]]:
    with first_of(rendezvous, HOST):
        first, second = first_node(), joined(rendezvous, 1)
        assert first is not None
        assert second is not None
        yield first, second


Both = tuple[Node, Node]


def test_they_meet_and_leave_nothing(rendezvous: Rendezvous, tmp_path: Path) -> None:
    with first_of(rendezvous, HOST):
        first = first_node()
        assert first is not None
        check_is_given(2)
        assert not first.has_all()
        second = joined(rendezvous, 1)
        assert second is not None
        assert first.has_all()
        assert (first.place.ranks(8), second.place.ranks(8)) == (range(4), range(4, 8))
        assert first.place.endpoint == second.place.endpoint
    assert first_node() is None
    assert list(tmp_path.iterdir()) == []


def test_who_comes_late_does_not_wait(rendezvous: Rendezvous) -> None:
    with pytest.raises(ConfigError), first_of(rendezvous, HOST):
        raise ConfigError("is refused")
    assert joined(rendezvous, 1) is None


def test_who_is_there_leaves_when_nothing_is_trained(both: Both, rendezvous: Rendezvous) -> None:
    both[0].set("over")
    join_run(rendezvous, 1)


def test_what_fails_before_ranks_start_is_told(both: Both, rendezvous: Rendezvous) -> None:
    task = RankTask({}, None, True, [], ranks=2)
    both[0].set("task", {"task": asdict(task), "directory": "nowhere"})
    join_run(rendezvous, 1)
    failure = both[0].reports(Report(), ranks=2).failures[1]
    assert failure.message.startswith("FileNotFoundError")


def test_a_first_machine_that_does_not_come_is_not_waited_for_for_ever(
    rendezvous: Rendezvous, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nodes, "PATIENCE", 0.02)
    with pytest.raises(
        DataError, match=r"rendezvous\.json has not come within .* must see its folder"
    ):
        joined(rendezvous, 1)


def test_nor_are_others(rendezvous: Rendezvous, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nodes, "PATIENCE", 0.02)
    with first_of(rendezvous, HOST), LocalRanks() as ranks:
        first: Any = first_node()
        with pytest.raises(DataError, match=r"^1 of 2 machines have come within"):
            first.wait_for_all(ranks)
        ranks.interrupt(15)
        with pytest.raises(Interrupted):
            first.wait_for_all(ranks)


def test_what_fails_on_one_ends_the_others_and_is_told(both: Both) -> None:
    first, second = both
    with Ranks() as ranks, first.watching(ranks):
        second.report(FAILED)
        wait_for(lambda: ranks.was_ended)
    found = first.reports(Report(), ranks=2)
    assert found == FAILED
    assert str(found.cause()) == "rank 1: the loss is nan"


def test_ranks_of_others_end_with_the_run(both: Both) -> None:
    first, second = both
    with Ranks() as ranks, second.watching(ranks):
        first.set("over")
        wait_for(lambda: ranks.was_ended)


def test_a_machine_without_a_sign_of_life_is_named(
    both: Both, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nodes, "EXPIRY", 0.02)
    monkeypatch.setattr(nodes, "hostname", lambda: "here")
    first, _ = both
    with Ranks() as ranks, first.watching(ranks):
        wait_for(lambda: ranks.was_ended)
    cause = str(first.reports(Report(), ranks=2).cause())
    assert cause.startswith("rank 1: its machine, ")
    assert cause.endswith(", ended without a word")


def test_one_that_says_nothing_of_a_failure_is_taken_for_its_cause(
    both: Both, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nodes, "REPORT_TIMEOUT", 0.02)
    lost = Report({0: RankFailure("lost", "Connection closed by peer", 1.0)}, {0: 1})
    assert "its machine" in str(both[0].reports(lost, ranks=2).cause())
    assert not both[0].reports(Report(), ranks=2), "all that was to be trained was trained"


def test_a_machine_with_signs_of_life_is_not_lost(
    both: Both, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = SimpleNamespace(monotonic=lambda: clock.now, now=0.0)
    monkeypatch.setattr(nodes, "time", clock)
    beats = nodes.Beats(both[0], 2)
    for clock.now in (20.0, 40.0, 60.0):
        both[1].beat()
        assert beats.silent() == set()
    clock.now = 91.0
    assert beats.silent() == {1}


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        (["ranks=3", "nodes=2"], "ranks (command line): is 3, which is no multiple of nodes=2"),
        (
            ["ranks=2", "nodes=2"],
            "nodes (command line): is 2, but this run has one machine; start it with torchrun on "
            "each of them, or with -m and hydra/launcher=slurm or ray",
        ),
        (["nodes=0"], "nodes (command line): is 0; give a whole number of at least 1"),
    ],
)
def test_numbers_that_cannot_be(overrides: list[str], told: str) -> None:
    assert refusal("data=xor", "model=logistic", *overrides).startswith(told)


def test_nodes_say_nothing_of_what_is_trained() -> None:
    one, two = (
        blueprint_of("data=xor", "model=logistic", *more) for more in ((), ("ranks=2", "nodes=2"))
    )
    assert one.digest == two.digest


NODE = """
import sys
from pathlib import Path
from legoloop.app.run.rendezvous import Rendezvous
rendezvous, number = Rendezvous(Path("rendezvous.json"), 2), int(sys.argv.pop(1))
if number > 0:
    from legoloop.app.run.node_agent import join_run
    join_run(rendezvous, number)
else:
    from legoloop.app.run.nodes import first_of
    from legoloop.run import main
    with first_of(rendezvous, "localhost"):
        main()
"""
"""What a launcher starts on each machine of a run."""
LONG = [
    *("loggers=[csv]", "model=mlp", "model.hidden=[16]", "eval_samples=100"),
    *("num_epochs=12", "scheduler=cosine"),
]


def started(here: Path) -> list[subprocess.Popen[str]]:
    words = [*LONG, "ranks=2", "nodes=2", "hydra.run.dir=two"]
    return [
        subprocess.Popen(
            [sys.executable, "-c", NODE, *arguments],
            cwd=here,
            env=environment(OMP_NUM_THREADS="1"),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for arguments in (["0", *words], ["1"])
    ]


@pytest.mark.long
def test_a_signal_to_any_machine_ends_all_and_they_go_on(tmp_path: Path) -> None:
    run, agent = started(tmp_path)
    wait_for((tmp_path / "two" / "metrics.csv").exists)
    agent.send_signal(signal.SIGTERM)
    _, err = run.communicate(timeout=60)
    assert (run.returncode, err) == (143, "interrupted\n")
    assert (agent.communicate(timeout=60), agent.returncode) == (("", ""), 0)
    run, agent = started(tmp_path)
    out, err = run.communicate(timeout=200)
    assert (run.returncode, err) == (0, "")
    assert "resumed from" in out
    assert (agent.communicate(timeout=60), agent.returncode) == (("", ""), 0)
    record: Any = read_record(tmp_path / "two")
    made = [(each["status"], each["ranks"], each["nodes"]) for each in record["attempts"]]
    assert made == [("INTERRUPTED", 2, 2), ("COMPLETED", 2, 2)]
    train_alone(tmp_path / "one", [*LONG, "plugins.descent.micro_batch_size=16"])
    assert_same_run(tmp_path / "one", tmp_path / "two")


def wait_for(condition: Any) -> None:
    give_up = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < give_up
        time.sleep(0.005)
