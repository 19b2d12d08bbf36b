"""A scheduler as it was constructed: to compare it with a saved one, and to move it along."""

from __future__ import annotations

from typing import Any
from weakref import WeakKeyDictionary, WeakSet

import torch
from torch.optim.lr_scheduler import LRScheduler

from legoloop.core.as_constructed import class_name, described_settings
from legoloop.core.errors import DataError


class SchedulerAsConstructed:
    """What a scheduler was constructed with, and the parameter groups that it began with.

    Args:
        scheduler: a scheduler of torch that was not stepped yet.

    >>> opt = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    >>> halving = SchedulerAsConstructed(torch.optim.lr_scheduler.ExponentialLR(opt, gamma=0.5))
    >>> opt.param_groups[0]["lr"] = 7.0
    >>> halving.move_to(2)
    >>> opt.param_groups[0]["lr"]
    0.25
    """

    def __init__(self, scheduler: LRScheduler) -> None:
        self.scheduler = scheduler
        self.settings = described_settings(vars(scheduler))
        groups = scheduler.optimizer.param_groups
        self._all_of_optimizer = _ALL.setdefault(scheduler.optimizer, WeakSet())
        self._all_of_optimizer.add(self)
        self._groups = [
            {key: _copied(value) for key, value in group.items() if key not in _NOT_SETTINGS}
            for group in groups
        ]

    @property
    def description(self) -> dict[str, Any]:
        """Equal in two processes if the schedulers have the same course."""
        return {
            "class": class_name(self.scheduler),
            "settings": self.settings,
            "groups": [described_settings(group) for group in self._groups],
        }

    def move_to(self, position: int) -> None:
        """Step it from the beginning of its course, as the training would have done.

        Args:
            position: the number of steps; those beyond the ``total_steps`` of the scheduler, which
                some refuse, are left out.

        Raises DataError if there is another scheduler of the same optimizer, since the rates depend
        on the order in which both were stepped.
        """
        if len(self._all_of_optimizer) > 1:
            raise DataError(
                "several schedulers set the rates of one optimizer, and one of them is not the one "
                "that was saved, so that no one knows at what rates to go on; leave them as they "
                "were, or give one, such as torch's ChainedScheduler"
            )
        optimizer = self.scheduler.optimizer
        for group, constructed in zip(optimizer.param_groups, self._groups, strict=True):
            group.update({key: _copied(value) for key, value in constructed.items()})
        # torch warns of a scheduler step before the first optimizer step, which was made.
        optimizer._opt_called = True  # type: ignore[attr-defined]
        for _ in range(min(position, getattr(self.scheduler, "total_steps", position))):
            self.scheduler.step()


_ALL: WeakKeyDictionary[torch.optim.Optimizer, WeakSet[SchedulerAsConstructed]] = (
    WeakKeyDictionary()
)
_NOT_SETTINGS = ("params", "param_names")


def _copied(value: Any) -> Any:
    return value.clone() if isinstance(value, torch.Tensor) else value
