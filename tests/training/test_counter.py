from __future__ import annotations

import legoloop as ll
from tests.tiny import tiny


def test_counts_every_sample_step_and_epoch_of_a_run() -> None:
    parts = tiny(num_epochs=3)

    parts.trained()

    assert vars(parts.counter) == {"epochs": 3, "steps": 18, "samples": 66, "left_out": 0}


def test_counts_on_from_its_state() -> None:
    first, second = ll.Counter(), ll.Counter()
    first.steps, first.epochs, first.samples = 7, 1, 28

    second.load_state_dict(first.state_dict())
    second.epoch_end()

    assert vars(second) == {"epochs": 2, "steps": 7, "samples": 28, "left_out": 0}
    assert first.epochs == 1
