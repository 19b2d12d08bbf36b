from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from legoloop.core.errors import ArgumentError
from legoloop.core.flatten import flatten_config
from legoloop.results.choosing import (
    Condition,
    check_key,
    default_metrics,
    last,
    matching_metrics,
    ordered,
    varied_keys,
)
from legoloop.results.reading import Run, read_runs
from tests.results.made_runs import made_run, made_sweep


@pytest.fixture
def sweep(tmp_path: Path) -> list[Run]:
    return read_runs(made_sweep(tmp_path)).runs


def a_run(**values: Any) -> Run:
    return Run("run", Path(), {"status": "COMPLETED", "overrides": []}, values, True, {}, {})


def names(runs: list[Run]) -> str:
    return "".join(run.name for run in runs)


def test_of_keys_that_say_the_same_the_one_that_was_set_is_shown(sweep: list[Run]) -> None:
    assert varied_keys(sweep) == ["seed", "optimizer.lr"]


def test_of_derived_keys_the_one_nearest_to_the_root_is_shown() -> None:
    runs = [a_run(**{"plugins.last.num": n, "num": n, "fixed": 1}) for n in (1, 2)]
    assert varied_keys(runs) == ["num"]


def written(unresolved: dict[str, Any], **values: Any) -> Run:
    record = {"status": "COMPLETED", "overrides": []}
    return Run("run", Path(), record, values, True, {}, {}, dict(flatten_config(unresolved)))


@pytest.mark.parametrize(
    ("reference", "is_shown"),
    [
        ("${seed}", False),
        ("lr-${optimizer.lr}/${seed}", False),
        ("${oc.select:seed}", False),
        ("${.seed}", False),
        ("${betas[0]}", False),
        ("${oc.env:HOME}", True),
        ("${now:%H}-${seed}", True),
        ("${a.${b}}", True),
        ("plain", True),
        (7, True),
        (None, True),
    ],
)
def test_a_key_that_refers_to_others_counts_as_these(reference: Any, is_shown: bool) -> None:
    runs = [
        written({"seed": n, "x": {"y": reference}}, **{"seed": n, "x.y": f"value {n}"})
        for n in (1, 2)
    ]
    assert varied_keys(runs) == (["seed", "x.y"] if is_shown else ["seed"])


def test_a_key_within_a_mapping_that_is_a_reference_counts_as_that() -> None:
    runs = [
        written({"a": {"b": n}, "copy": "${a}"}, **{"a.b": n, "copy.b": float(n)}) for n in (1, 2)
    ]
    assert varied_keys(runs) == ["a.b"]


def test_a_key_that_one_run_sets_itself_is_shown() -> None:
    runs = [
        written({"seed": 1, "x": {"y": "${seed}"}}, **{"seed": 1, "x.y": 1}),
        written({"seed": 2, "x": {"y": 5}}, **{"seed": 2, "x.y": 5}),
        written({"seed": 3, "x": {"y": 6}}, **{"seed": 3, "x.y": 5}),
    ]
    assert varied_keys(runs) == ["seed", "x.y"]


def test_a_key_that_only_some_runs_have_varies() -> None:
    assert varied_keys([a_run(a=1, b=None), a_run(a=1)]) == ["b"]


def test_one_run_does_not_vary(sweep: list[Run]) -> None:
    assert varied_keys(sweep[:1]) == varied_keys([]) == []


@pytest.mark.parametrize(
    ("tags", "chosen"),
    [
        (["lr", "train/loss", "val/loss", "val_real/loss", "final/val/loss"], ["val/loss"]),
        (["lr", "train/loss", "test/f1", "test/loss", "extra/loss"], ["test/f1", "test/loss"]),
        (["lr", "train/loss", "loss"], ["train/loss"]),
        (["lr", "loss"], ["lr", "loss"]),
        ([], []),
    ],
)
def test_the_usual_metrics(tags: list[str], chosen: list[str]) -> None:
    final = dict.fromkeys(tags, 0.0)
    assert (
        default_metrics([Run("run", Path(), {"status": "RUNNING"}, {}, True, final, {})]) == chosen
    )


def test_metrics_are_named_with_wildcards_and_each_once(sweep: list[Run]) -> None:
    chosen = ["val/loss", "val/accuracy"]
    assert matching_metrics(["val/loss", "val/*"], sweep) == chosen


def test_an_unknown_metric_is_refused_with_the_nearest(sweep: list[Run]) -> None:
    with pytest.raises(ArgumentError, match=r"--metric accuracy: .* did you mean train/accuracy\?"):
        matching_metrics(["accuracy"], sweep)


@pytest.mark.parametrize(
    ("condition", "left"),
    [
        ("optimizer.lr=1e-1", "012"),
        ("optimizer.lr=0.10000000000000002", "012"),  # as range(0.1, …) gives it
        ("optimizer.lr>=0.10000000000000002", "012"),
        ("optimizer.lr!=0.1", "345"),
        ("seed=1", "14"),
        ("seed>0", "1245"),
        ("seed>=2", "25"),
        ("seed<=0", "03"),
        ("val/accuracy<0.1", "34"),
        ("best val/accuracy>0.4", "12"),
        ("optimizer.betas=[0.9, 0.99]", "012345"),
        ("status=COMPLETED", "012345"),
        ("status=FAILED", ""),
        ("status<3", ""),
        ("run=4", "4"),
        ("cause=null", "012345"),
        ("seed=true", ""),
        ("optimizer.betas=0.9", "012345"),
        ("optimizer.betas!=0.99", ""),
        ("tags=new", ""),
        ("tags!=new", "012345"),
    ],
)
def test_where(sweep: list[Run], condition: str, left: str) -> None:
    holds = Condition.parse(condition).holds
    assert names([run for run in sweep if holds(run)]) == left


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        ("seed", "--where seed: write KEY=VALUE"),
        ("=3", "--where =3: write KEY=VALUE"),
        ("seed<three", "--where seed<three: 'three' is not a number"),
        ("seed>true", "'true' is not a number"),
    ],
)
def test_what_is_no_condition_is_refused(condition: str, message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        Condition.parse(condition)


def test_an_unknown_key_is_refused_with_the_nearest(sweep: list[Run]) -> None:
    with pytest.raises(ArgumentError, match=r"--sort zzz: .*; there are run, status"):
        check_key("--sort", "zzz", sweep)
    with pytest.raises(ArgumentError, match=r"--where betas: .*; did you mean optimizer.betas\?"):
        check_key("--where", "betas", sweep)


def test_the_last_are_those_that_began_last_wherever_they_stand(tmp_path: Path) -> None:
    for name, minute in (("a", 30), ("b", 10), ("c", 20)):
        made_run(tmp_path, name, {"seed": 0}, minute=minute)
    runs = read_runs(tmp_path).runs
    assert [names(last(count, runs)) for count in (0, 1, 2, 9)] == ["", "a", "ac", "abc"]


@pytest.mark.parametrize(
    ("key", "order"),
    [
        ("val/accuracy", "215043"),
        ("-val/accuracy", "340512"),
        ("best val/accuracy", "215043"),
        ("val/loss", "012345"),
        ("-val/loss", "345012"),
        ("optimizer.lr", "345012"),
        ("-run", "543210"),
    ],
)
def test_order(sweep: list[Run], key: str, order: str) -> None:
    assert names(ordered(sweep, key, ["lr", "val/accuracy", "val/loss"])) == order


@given(
    values=st.lists(st.none() | st.floats() | st.booleans() | st.text(max_size=3), max_size=8),
    key=st.sampled_from(["x", "-x"]),
)
def test_any_values_can_be_ordered_and_nothing_comes_last(values: list[Any], key: str) -> None:
    rows = ordered([a_run(x=value) for value in values], key, ["x"])
    found = [row.value("x") for row in rows]
    assert sorted(map(repr, found)) == sorted(map(repr, values))
    nothing = [value is None or value != value for value in found]
    assert nothing == sorted(nothing)


def test_order_does_not_depend_on_where_a_run_stood(sweep: list[Run]) -> None:
    shuffled = random.Random(0).sample(sweep, len(sweep))
    assert names(ordered(shuffled, "val/accuracy", ["val/accuracy"])) == "215043"
