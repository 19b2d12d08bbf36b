"""Wrong configurations, generated, through the checks in one process."""

from __future__ import annotations

import warnings
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import HealthCheck, Phase, given, seed, settings

from tests.app import wrong_configurations
from tests.faults.tally import Tally

WRONG, WRONG_IF_LONG = 40, 1_000
MOST_TRIED = 4
"""How many are generated for each that is to be wrong, at most."""


def wrong_configurations_refused(long: bool) -> Tally:
    """All are refused in one short line and nothing is made; what could run is not counted."""
    tally = Tally()
    wanted = WRONG_IF_LONG if long else WRONG

    @seed(0)
    @settings(
        max_examples=MOST_TRIED * wanted,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(wrong_configurations.overrides())
    def try_one(overrides: list[str]) -> None:
        if tally.tried >= wanted:
            return
        try:
            if wrong_configurations.refused(overrides):
                tally.count(" ".join(overrides), None)
        except Exception as problem:
            tally.count(" ".join(overrides), f"{type(problem).__name__}: {problem}")

    here = Path.cwd()
    with TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            wrong_configurations.in_an_empty_folder(Path(folder))
            try_one()
        finally:
            wrong_configurations.in_an_empty_folder(here)
    return tally
