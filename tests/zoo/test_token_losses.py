from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.functional import cross_entropy

from legoloop.zoo.token_losses import TokenCrossEntropy


@given(lengths=st.lists(st.integers(0, 5), min_size=1, max_size=5).filter(any))
def test_is_the_mean_over_the_tokens_of_the_mask(lengths: list[int]) -> None:
    logits, target = torch.randn(len(lengths), 5, 7), torch.randint(7, (len(lengths), 5))
    mask = torch.arange(5) < torch.tensor(lengths)[:, None]
    expected = cross_entropy(logits[mask], target[mask])

    target[~mask], logits[~mask] = -5, torch.nan
    loss = TokenCrossEntropy()({"target": target, "mask": mask}, {"logits": logits})

    torch.testing.assert_close(loss, expected)
