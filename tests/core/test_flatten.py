from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from legoloop.core.flatten import flatten_config

TREES = st.recursive(
    st.one_of(st.integers(), st.lists(st.integers(), max_size=2)),
    lambda inner: st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=8,
).filter(lambda tree: isinstance(tree, dict))


@given(TREES)
def test_every_value_is_found_under_its_path(tree: dict[str, object]) -> None:
    for path, value in flatten_config(tree):
        found: object = tree
        for key in path.split("."):
            assert isinstance(found, dict)
            found = found[key]
        assert found == value
        assert value == {} or not isinstance(value, dict)


def test_an_empty_mapping_is_a_value() -> None:
    assert dict(flatten_config({"a": {}, "b": {"c": {}}})) == {"a": {}, "b.c": {}}
