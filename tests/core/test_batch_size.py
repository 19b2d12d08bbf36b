from __future__ import annotations

import pytest
import torch

from legoloop.core.batch_size import DefaultBatchDesc


@pytest.mark.parametrize("column", [torch.zeros(3, 2), ["a", "b", "c"]])
def test_the_length_of_the_first_column(column):
    assert DefaultBatchDesc()({"x": column, "other": [1]}) == 3
