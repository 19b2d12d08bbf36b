"""What is proposed instead of an override that cannot be read: it can be, and says the same."""

from __future__ import annotations

import shlex
from contextlib import suppress

from hydra.errors import HydraException
from hypothesis import assume, example, given
from hypothesis import strategies as st

from legoloop.app.hydra_bridge.override_repair import in_a_shell, repaired
from legoloop.app.hydra_bridge.overrides import parse_overrides, quote_override

TEXT = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")), min_size=1, max_size=12)


@given(TEXT)
@example("a=b")
@example("it's")
@example("a\"b\\'$x`!")
def test_a_shell_gives_back_what_is_meant_for_it(text: str) -> None:
    override = f"data.root={quote_override(text)}"
    (given,) = shlex.split(in_a_shell(override))
    (parsed,) = parse_overrides([given])
    assert parsed.value() == text


@given(TEXT)
@example("/data/lr=0.1")
@example("a~/data")
@example("Größe#1")
def test_what_is_proposed_for_a_text_is_that_text(text: str) -> None:
    assume(text[0] not in "[{(\"'=,$~" and text[-1] not in ",'\"" and "${" not in text)
    with suppress(HydraException):  # one that can be read
        assume(not parse_overrides([f"data.root={text}"]))
    proposed = repaired(f"data.root={text}")
    assert proposed is not None
    (given,) = shlex.split(proposed)
    (parsed,) = parse_overrides([given])
    value = parsed.value()
    assert not isinstance(value, str) or value == text
