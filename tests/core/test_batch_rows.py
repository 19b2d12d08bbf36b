from __future__ import annotations

import pytest
import torch

from legoloop.core.batch_rows import has_rows, rows_of

SPARSE = {"coo": torch.sparse_coo, "csr": torch.sparse_csr}


@pytest.mark.parametrize("layout", SPARSE.values(), ids=SPARSE)
@pytest.mark.filterwarnings("ignore:Sparse CSR tensor support is in beta state")
def test_rows_of_sparse_tensors(layout: torch.layout) -> None:
    rows = rows_of(torch.eye(4).to_sparse(layout=layout), 4, slice(1, 3))
    assert rows.layout == layout
    assert torch.equal(rows.to_dense(), torch.eye(4)[1:3])


@pytest.mark.parametrize("layout", [torch.strided, torch.jagged])
@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors is in prototype stage")
def test_rows_of_nested_tensors(layout: torch.layout) -> None:
    nested = torch.nested.nested_tensor([torch.ones(n + 1) for n in range(4)], layout=layout)
    assert (has_rows(nested, 4), has_rows(nested, 3)) == (True, False)
    rows = rows_of(nested, 4, slice(1, 3))
    assert [row.tolist() for row in rows.unbind()] == [[1.0] * 2, [1.0] * 3]
