"""The loop that people write."""

from __future__ import annotations

from math import inf

import torch
from torch import nn
from torch.nn.functional import cross_entropy

from bench.task import LOG_EVERY, Stream, Task


def plain(task: Task) -> None:
    model, optimizer = task.model, task.optimizer
    model.train()
    for x, y in task.train:
        optimizer.zero_grad()
        loss = cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()


def featured(task: Task) -> None:
    from torch.utils.tensorboard import SummaryWriter
    from tqdm import tqdm

    model, optimizer = task.model, task.optimizer
    writer = SummaryWriter(str(task.folder))
    best = inf
    step = 0
    with tqdm(total=task.steps) as bar:
        for _ in range(task.epochs):
            model.train()
            for x, y in task.epoch():
                optimizer.zero_grad()
                loss = cross_entropy(model(x), y)
                loss.backward()
                optimizer.step()
                step += 1
                bar.update()
                if step % LOG_EVERY == 0:
                    writer.add_scalar("loss", loss.item(), step)
                    writer.add_scalar("lr", optimizer.param_groups[0]["lr"], step)
            value = validated(model, task.validation)
            writer.add_scalar("val/loss", value, step)
            if value < best:
                best = value
                torch.save(model.state_dict(), task.folder / "best")
    writer.close()


@torch.no_grad()
def validated(model: nn.Module, batches: Stream) -> float:
    """The mean loss."""
    model.eval()
    total = 0.0
    for x, y in batches:
        total += cross_entropy(model(x), y).item()
    return total / len(batches)


PLAIN = {"by hand": plain}
FEATURED = {"by hand": featured}
