"""What must not matter: how many workers there are, and who looks on."""

from __future__ import annotations

import json

from tests.faults.tally import Tally
from tests.faults.trials import STEPS, trial, uninterrupted

LOOKING = "plugins=[default,checkpoints,consumed,ema,looks_in_between]"


def any_number_of_workers(long: bool) -> Tally:
    """The same run with other numbers of workers; each augmentation drawn for one sample only."""
    tally = Tally()
    for workers in (0, 1, 2, 4):
        with trial(f"data.loaders.default.num_workers={workers}") as other:
            ended = other.run()
            problem = (ended.err if ended.status else None) or other.outcome().differs_from(
                uninterrupted().outcome, ignoring=("config.yaml",)
            )
            tally.count(f"{workers} workers", problem)
            drawn = [
                number
                for line in map(json.loads, other.consumed.read_text().splitlines())
                for sample in line["drawn"]
                for number in sample
            ]
            again = len(drawn) - len({*drawn})
            tally.count(f"draws with {workers}", f"{again} numbers drawn twice" if again else None)
    return tally


def looking_in_between(long: bool) -> Tally:
    """Evaluations in the middle of epochs, every other of them raising."""
    tally = Tally()
    for workers in (0, 2) if long else (0,):
        with trial(LOOKING, f"data.loaders.default.num_workers={workers}") as looking:
            ended = looking.run()
            problem = ended.err or looking.outcome().differs_from(
                uninterrupted().outcome, ignoring=("config.yaml", "plan.txt")
            )
            for _ in range(STEPS // 5):
                tally.count(f"{workers} workers", problem)
    return tally
