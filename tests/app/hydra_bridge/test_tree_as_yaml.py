"""Tests of legoloop.app.hydra_bridge.tree_as_yaml."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf

from legoloop.app.hydra_bridge.tree_as_yaml import tree_as_yaml

TEXTS = st.one_of(
    st.text(st.characters(exclude_categories=["Cs", "Cc"])).filter(lambda text: "${" not in text),
    st.sampled_from(
        [
            "1",
            "1e3",
            "1e-3",
            "-.5",
            "1_0",
            "0x1F",
            "inf",
            "nan",
            ".nan",
            "-inf",
            "y",
            "No",
            "ON",
            "true",
            "null",
            "~",
            "1:30",
            "2020-01-01",
        ]
    ),
    st.sampled_from(["", " ", "a: b", "- a", "a #b", "a\n", "\n", "x" * 200, "x y " * 50]),
    st.sampled_from(["*a", "&a", "!a", "%a", "@a", "{a}", "[a", "??", "<<", "=", "'", '"']),
)
SCALARS = st.one_of(
    TEXTS, st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.just(1e-5)
)
TREES = st.dictionaries(
    st.text("abc", min_size=1),
    st.recursive(
        SCALARS,
        lambda inner: (
            st.lists(inner, max_size=3) | st.dictionaries(TEXTS.filter(bool), inner, max_size=3)
        ),
        max_leaves=12,
    ),
)


@given(TREES)
def test_omegaconf_reads_what_was_written(tree):
    read = OmegaConf.to_container(OmegaConf.create(tree_as_yaml(tree) if tree else "{}"))
    assert repr(read) == repr(tree)


def test_a_shared_value_is_written_out():
    shared = [1, 2]
    assert "&" not in tree_as_yaml({"a": shared, "b": shared})


def test_an_object_is_written_as_omegaconf_does():
    tree = {"a": frozenset([1])}
    config = OmegaConf.create(tree, flags={"allow_objects": True})
    assert tree_as_yaml(tree) == OmegaConf.to_yaml(config)
