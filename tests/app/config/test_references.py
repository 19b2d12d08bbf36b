from __future__ import annotations

import copy
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from legoloop.app.config.references import referenced_keys, references, resolve_references
from legoloop.app.hydra_bridge.job_config import bind_run_directory, blueprint_of_job, to_plain
from tests.app.composed import choices, config_of, hydra_at_work


def resolved_both_ways(config: DictConfig) -> tuple[Any, Any]:
    """By our own code, and by OmegaConf alone."""
    bind_run_directory(config, "run")
    unresolved = to_plain(config, resolve=False)
    unresolved["run_dir"] = config.run_dir
    return resolve_references(unresolved, partial(by_omegaconf, config)), to_plain(config)


def by_omegaconf(config: DictConfig, path: str) -> Any:
    value = OmegaConf.select(config, path, throw_on_resolution_failure=True)
    return OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value


@pytest.mark.parametrize("choice", choices())
def test_what_ships_is_resolved_as_by_omegaconf(choice: str) -> None:
    with hydra_at_work():
        config = config_of(*choice.split())
        found, expected = resolved_both_ways(config)
    assert as_yaml(found) == as_yaml(expected)


def as_yaml(tree: Any) -> str:
    return OmegaConf.to_yaml(OmegaConf.create(tree))


@pytest.mark.parametrize(
    "override",
    [
        "optimizer.lr=${oc.env:LR}",
        "optimizer.lr=${oc.decode:'0.5'}",
        "optimizer.lr=${.weight_decay}",
        "optimizer.weight_decay=${..optimizer.lr}",
        "data.root=${hydra:job.name}/${now:%Y}",
        "data.root='${run_dir} of ${seed}'",
        "data.root='${run_dir}/${data.output_key}'",
        "data.root=${data.datasets.train}",
        "data.root='${data[output_key]}'",
        "data.root='a \\${seed}'",
        "model.more=${data}",
        "model.more=[1,'${seed}',{a: '${num_epochs}'}]",
        "model.more=${data.model_kwargs}",
        "data.root='${data.${key}}'",
    ],
)
def test_other_references_are_resolved_by_omegaconf(
    override: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LR", "0.25")
    with hydra_at_work():
        found, expected = resolved_both_ways(config_of("++key=output_key", f"++{override}"))
    assert as_yaml(found) == as_yaml(expected)


KEYS = ("a", "b", "c", "d")
LEAVES = st.one_of(
    st.integers(-3, 3),
    st.booleans(),
    st.none(),
    st.floats(-2, 2),
    st.sampled_from(["", "text", "a: b", "1", "null"]),
    st.sampled_from(
        ["${a}", "${b}", "${c.a}", "${c.b}", "${d}", "x${a}", "${a}/${c.b}", "${d.a.b}"]
    ),
)
NODES = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=3)
    ),
    max_leaves=8,
)
TREES = st.fixed_dictionaries(dict.fromkeys(KEYS, NODES))


@given(TREES)
def test_any_tree_is_resolved_as_by_omegaconf(tree: dict[str, Any]) -> None:
    config = OmegaConf.create(tree)
    try:
        expected: Any = OmegaConf.to_container(config, resolve=True)
    except (OmegaConfBaseException, RecursionError):
        expected = None

    otherwise = partial(by_omegaconf, config)
    before = copy.deepcopy(tree)
    if expected is None:
        with pytest.raises((OmegaConfBaseException, RecursionError)):
            resolve_references(tree, otherwise)
    else:
        found = resolve_references(tree, otherwise)
        assert repr(found) == repr(expected)
    assert tree == before


def test_what_is_resolved_shares_nothing_with_the_tree() -> None:
    tree = {"a": {"b": [1]}, "c": "${a}"}
    found = resolve_references(tree, lambda path: pytest.fail(path))
    found["c"]["b"].append(2)
    assert tree == {"a": {"b": [1]}, "c": "${a}"}
    assert found["a"] == {"b": [1]}


def test_what_leads_nowhere_is_asked_for_elsewhere() -> None:
    tree = {"a": "${nope}", "b": {"c": ["${a.b}"]}}
    asked: list[str] = []
    assert resolve_references(tree, lambda path: asked.append(path)) == {
        "a": None,
        "b": {"c": [None]},
    }
    assert asked == ["a", "b.c[0]"]


def test_references_are_listed_wherever_they_are() -> None:
    tree = {"a": "${b}", "c": [1, {"d": "x ${e.f} ${g}"}], "h": {"i": "${oc.env:HOME}"}}
    assert list(references(tree)) == [
        ("a", "${b}"),
        ("c[1].d", "x ${e.f} ${g}"),
        ("h.i", "${oc.env:HOME}"),
    ]
    assert referenced_keys("x ${e.f} ${g} ${oc.env:HOME} ${.h}") == ["e.f", "g"]


def test_a_reference_that_leads_nowhere_is_told_as_omegaconf_tells_it(tmp_path: Path) -> None:
    with hydra_at_work():
        config = config_of("optimizer.lr=${nope}")
        with pytest.raises(OmegaConfBaseException, match="Interpolation key 'nope' not found"):
            blueprint_of_job(config, tmp_path)
