"""Lightning's Fabric."""

from __future__ import annotations

from lightning.fabric import Fabric
from torch.nn.functional import cross_entropy

from bench.task import Task


def plain(task: Task) -> None:
    fabric = Fabric(accelerator="cpu", devices=1)
    model, optimizer = fabric.setup(task.model, task.optimizer)
    model.train()
    for x, y in task.train:
        optimizer.zero_grad()
        loss = cross_entropy(model(x), y)
        fabric.backward(loss)
        optimizer.step()


PLAIN = {"Fabric": plain}
FEATURED: dict[str, object] = {}  # what people write around it is what they write by hand
