"""The network of Kipf and Welling (2017), which takes tensors and knows nothing of batches."""

from __future__ import annotations

import torch
from torch import nn


class GraphConvolution(nn.Module):
    """Each node becomes a mean of its neighbours and itself, weighted by their degrees."""

    def __init__(self, inputs, outputs):
        super().__init__()
        self.linear = nn.Linear(inputs, outputs)

    def forward(self, nodes, edges):
        source, target = edges
        degree = torch.ones(len(nodes), device=nodes.device).index_add(
            0, target, torch.ones(len(target), device=nodes.device)
        )
        scale = degree.rsqrt()[:, None]
        nodes = self.linear(nodes) * scale
        return nodes.index_add(0, target, nodes[source]) * scale


class GCN(nn.Module):
    """Features (nodes, features) and edges (2, edges) to logits (nodes, classes)."""

    def __init__(self, num_features, num_classes, hidden=32, dropout=0.5):
        super().__init__()
        self.first = GraphConvolution(num_features, hidden)
        self.second = GraphConvolution(hidden, num_classes)
        self.dropout = nn.Dropout(dropout)

    def forward(self, features, edges):
        hidden = self.first(self.dropout(features), edges).relu()
        return self.second(self.dropout(hidden), edges)
