from __future__ import annotations

from bench.rounds import above, interleaved, machine, table, times


def test_each_runs_once_a_round_and_another_is_first() -> None:
    heard = []
    variants = {name: lambda name=name: heard.append(name) or 1.0 for name in "abc"}

    found = interleaved(variants, rounds=2)

    assert "".join(heard) == "cab" + "abc" + "bca"
    assert found == {name: [1.0, 1.0] for name in "abc"}


def test_pairs_are_of_one_round() -> None:
    found = {"ours": [2.0, 30.0, 4.0], "theirs": [1.0, 10.0, 2.0]}
    assert above(found, "ours", "theirs") == 2.0
    assert times(found, "ours", "theirs") == 2.0


def test_a_table_is_markdown() -> None:
    assert table(["a", "b"], [(1, "x")]) == "| a | b |\n| --- | --- |\n| 1 | x |"


def test_the_machine_is_told_in_a_line() -> None:
    told = machine()
    assert "torch" in told
    assert "\n" not in told
