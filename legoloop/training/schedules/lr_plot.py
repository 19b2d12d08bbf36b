"""The learning rates of a planned training, as an ASCII plot."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain, repeat

from legoloop.training.schedules.lr_plugins import LRScheduler
from legoloop.training.schedules.lr_schedules import rates


def planned_rates(plugin: LRScheduler, lengths: Sequence[int]) -> list[float]:
    """The learning rate of the first parameter group at each step of epochs of these lengths.

    Advances the scheduler, so that nothing can be trained with it afterwards.

    >>> import torch
    >>> from legoloop.training.counter import Counter
    >>> opt = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    >>> halving = torch.optim.lr_scheduler.ExponentialLR(opt, gamma=0.5)
    >>> planned_rates(LRScheduler(halving, Counter(), interval="epoch"), lengths=[2, 1])
    [1.0, 1.0, 0.5]
    """
    if plugin.interval == "step":
        return rates(plugin.scheduler, sum(lengths))
    per_epoch = rates(plugin.scheduler, len(lengths))
    return list(chain.from_iterable(map(repeat, per_epoch, lengths)))


def ascii_plot(values: Sequence[float], width: int = 60, height: int = 12) -> str:
    """A plot of the values in order, labelled with the smallest and the largest one.

    A column shows all values of the steps that it stands for, so that no peak is missed.

    >>> print(ascii_plot([0.0, 0.5, 1.0, 0.5, 0.0], height=3))
    1 |  *
      | * *
    0 |*   *
    """
    least, most = min(values), max(values)
    columns = min(width, len(values))
    lines = [[" "] * columns for _ in range(height)]
    for column in range(columns):
        first = column * len(values) // columns
        shown = values[first : (column + 1) * len(values) // columns]
        low, high = (_row(value, least, most, height) for value in (min(shown), max(shown)))
        for row in range(low, high + 1):
            lines[height - 1 - row][column] = "*"
    labels = [f"{most:.4g}", *[""] * (height - 2), f"{least:.4g}"]
    beside = max(map(len, labels))
    rows = zip(labels, lines, strict=True)
    return "\n".join(f"{label:>{beside}} |{''.join(line)}".rstrip() for label, line in rows)


def _row(value: float, least: float, most: float, height: int) -> int:
    return round((value - least) / (most - least) * (height - 1)) if most > least else 0
