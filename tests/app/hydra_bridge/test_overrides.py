from __future__ import annotations

from pathlib import Path

import pytest
from hydra.errors import OverrideParseException
from hypothesis import given
from hypothesis import strategies as st

from legoloop.app.hydra_bridge.key_origin import repository
from legoloop.app.hydra_bridge.overrides import (
    all_overrides,
    is_value,
    parse_overrides,
    quote_override,
    search_path,
    task_overrides,
)
from tests.app.composed import config_of, hydra_at_work

# Hydra's grammar has no backslash before the end of a quoted text, and no line ends.
TEXTS = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Zl", "Zp"]), max_size=12
).filter(lambda text: "\\" not in text and "${" not in text)


@given(TEXTS)
def test_a_quoted_text_is_that_text(text: str) -> None:
    (parsed,) = parse_overrides([f"a={quote_override(text)}"])
    assert parsed.value() == text


@pytest.mark.parametrize("name", ["a, b", "it's", "(x) [y] {z}", "a=b", "прогон"])
def test_groups_are_found_in_a_folder_of_any_name(name: str, tmp_path: Path) -> None:
    option = tmp_path / name / "model" / "mine.yaml"
    option.parent.mkdir(parents=True)
    option.write_text("_target_: legoloop.zoo.models.Logistic\n")
    with hydra_at_work():
        assert "mine" in repository([search_path(tmp_path / name)]).get_group_options("model")


def test_overrides_are_kept_as_they_were_written() -> None:
    given = ["data=xor", "+data.extra='${seed} of ${nope}'", "hydra.job.chdir=false", "~debug"]
    with hydra_at_work():
        hydra = config_of(*given).hydra
    assert task_overrides(hydra) == ["data=xor", "+data.extra='${seed} of ${nope}'", "~debug"]
    assert all_overrides(hydra)[-4:] == ["hydra.job.chdir=false", *task_overrides(hydra)]


def test_values_are_told_from_choices() -> None:
    with hydra_at_work():
        found = repository([])
        parsed = parse_overrides(["model=mlp", "model.hidden=[8]", "+hydra/launcher=ray", "seed=1"])
        assert [is_value(each, found) for each in parsed] == [False, True, False, True]


@pytest.mark.parametrize("text", ["seed", "a='b", "model.hidden=[1", "a=(", ""])
def test_what_cannot_be_read_is_named(text: str) -> None:
    with pytest.raises(OverrideParseException) as refused:
        parse_overrides(["seed=1", text])
    assert refused.value.override == text
