"""The functions that mutants and interruptions name as strings are there."""

from __future__ import annotations

from pkgutil import resolve_name

import pytest

from tests.faults.interruptions import PHASES
from tests.faults.mutants import MUTANTS
from tests.faults.trials import PROJECT

PLACES = {place for place, *_ in (*MUTANTS.values(), *PHASES.values())}


@pytest.mark.parametrize("place", sorted(PLACES))
def test_there_is_such_a_function(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(PROJECT)
    assert callable(resolve_name(place))
