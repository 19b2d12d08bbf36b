"""A made graph: communities of nodes, of which few are labelled."""

from __future__ import annotations

import torch


class Communities:
    """One sample: the whole graph. Nodes know their neighbours, and little of themselves.

    The same graph is the data set for training, which asks for the classes of a few nodes, and the
    one for validation, which asks for all others.
    """

    is_deterministic = True

    def __init__(self, train=True, nodes=400, classes=4, features=16, labelled=10, seed=0):
        random = torch.Generator().manual_seed(seed)
        target = torch.arange(nodes) % classes
        same = target[:, None] == target
        knows = torch.rand(nodes, nodes, generator=random) < torch.where(same, 0.04, 0.003)
        ways = (knows | knows.T).nonzero().T  # each edge in both directions
        noise = torch.randn(nodes, features, generator=random)
        centres = torch.randn(classes, features, generator=random)
        is_labelled = torch.arange(nodes) < labelled * classes
        self.graph = {
            "idx": torch.arange(nodes),
            "features": 0.4 * centres[target] + noise,
            "edges": ways,
            "target": target,
            "asked": is_labelled if train else ~is_labelled,
        }
        self.num_features, self.num_classes = features, classes

    def __len__(self):
        return 1

    def __getitems__(self, items):
        return dict(self.graph)


def loss(batch, outputs):
    """The mean over the nodes that are asked for."""
    asked = batch["asked"]
    return torch.nn.functional.cross_entropy(outputs["logits"][asked], batch["target"][asked])


def accuracy(accumulated):
    """The share of the nodes that are asked for whose class is found."""
    asked = accumulated["asked"]
    found = accumulated["logits"].argmax(axis=1) == accumulated["target"]
    return {"accuracy": found[asked].mean()}
