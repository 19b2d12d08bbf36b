"""Every test leaves the generators, the chosen seed and the thread count as it found them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from hypothesis import settings

from legoloop.core import rng

# The machine is shared: how long an example takes says nothing.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


@pytest.fixture(autouse=True)
def process_as_it_was(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    threads = torch.get_num_threads()
    monkeypatch.setattr(rng, "_chosen_seed", None)
    with rng.preserved_rng():
        yield
    torch.set_num_threads(threads)
