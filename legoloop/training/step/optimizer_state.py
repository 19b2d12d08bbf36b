"""The state of an optimizer: moments are loaded, settings stay as they are configured."""

from __future__ import annotations

import logging
from collections import OrderedDict, defaultdict
from itertools import chain
from typing import Any

import torch
from torch import nn

from legoloop.core.as_constructed import described_settings, reconciled
from legoloop.core.rng import preserved_rng
from legoloop.core.shards import is_sharded, sharded_like
from legoloop.loop.plugin import State

log = logging.getLogger("legoloop")

SCHEDULED = "initial_lr"
"""The entry of a parameter group that tells that a scheduler of learning rates was built for it."""


class OptimizerState:
    """Saves and loads the state of an optimizer beside the settings that it was constructed with.

    A setting of a parameter group, such as a learning rate that a scheduler has lowered, is loaded
    if the optimizer was constructed with the same one; otherwise the one that it has now stays.
    The moments of each parameter are loaded by its name, so that the groups may have changed; where
    they do not fit, as after a change of the optimizer's class, it begins with fresh ones.

    Args:
        opt: the optimizer, as constructed.
        model: names its parameters.

    >>> weight = nn.Linear(1, 1, bias=False)
    >>> def made(lr): return torch.optim.SGD(weight.parameters(), lr, momentum=0.9)
    >>> state = OptimizerState(made(0.1), weight).state_dict()
    >>> opt = made(0.5)
    >>> OptimizerState(opt, weight).load(state)
    >>> opt.param_groups[0]["lr"]
    0.5
    """

    def __init__(self, opt: torch.optim.Optimizer, model: nn.Module) -> None:
        names = {id(weight): name for name, weight in model.named_parameters()}
        self.opt = opt
        self.constructed: State = {
            "classes": _classes(opt),
            "settings": [described_settings(_settings(group)) for group in opt.param_groups],
            "names": [
                [names.get(id(w), f"{number}.{n}") for n, w in enumerate(group["params"])]
                for number, group in enumerate(opt.param_groups)
            ],
        }

    def state_dict(self) -> State:
        """The state of the optimizer, and with what it was constructed."""
        return {"opt": self.opt.state_dict(), "opt_constructed": self.constructed}

    def load(self, state: State) -> None:
        """Load what ``state_dict`` gave; without ``opt_constructed``, all of it as torch does."""
        saved, then = state["opt"], state.get("opt_constructed")
        is_as_constructed = then is not None and len(then["names"]) == len(saved["param_groups"])
        if then is None or not is_as_constructed or self._is_unchanged(saved, then):
            self._load(saved)
            return
        groups = self._groups(saved, then)
        moments = self._renamed(saved["state"], then["names"])
        if not self._fits(moments, groups, then["classes"]):
            log.warning(
                "the optimizer (%s) begins with fresh moments: those that were saved, of %s, do "
                "not fit it",
                _shown(self.constructed["classes"]),
                _shown(then["classes"]),
            )
            moments = {}
        self._load({**saved, "state": moments, "param_groups": groups})

    def _load(self, state: State) -> None:
        """Load a state of whole tensors; of a sharded parameter, its moments are sharded too."""
        self.opt.load_state_dict(state)
        for parameter, moments in self.opt.state.items():
            for name, value in moments.items() if is_sharded(parameter) else ():
                if isinstance(value, torch.Tensor) and value.shape == parameter.shape:
                    moments[name] = sharded_like(value, parameter)

    def _is_unchanged(self, saved: State, then: State) -> bool:
        pairs = zip(saved["param_groups"], self.opt.param_groups, strict=False)
        scheduled_alike = all((SCHEDULED in was) == (SCHEDULED in now) for was, now in pairs)
        return then == self.constructed and scheduled_alike

    def _groups(self, saved: State, then: State) -> list[dict[str, Any]]:
        """The groups as they are now, with what is saved of settings that did not change."""
        current: list[dict[str, Any]] = self.opt.state_dict()["param_groups"]
        if then["names"] != self.constructed["names"]:
            return current
        groups = []
        for group, was, old, new in zip(
            current,
            saved["param_groups"],
            then["settings"],
            self.constructed["settings"],
            strict=True,
        ):
            # Without its scheduler, or with a first one, a group is at the rate of its own.
            is_alike = (SCHEDULED in was) == (SCHEDULED in group)
            merged = reconciled(was, old, new, group) if is_alike else group
            groups.append({**merged, "params": group["params"]})
        return groups

    def _renamed(self, moments: State, names: list[list[str]]) -> State:
        """The moments by the positions that the parameters of these names have now."""
        position = {name: n for n, name in enumerate(chain(*self.constructed["names"]))}
        before = list(chain(*names))
        moved: dict[Any, Any] = {}
        for key, value in moments.items():
            name = before[key] if isinstance(key, int) else key
            if not isinstance(key, int) or name in position:
                moved[position.get(name, name)] = value
        return moved

    def _fits(self, moments: State, groups: list[dict[str, Any]], classes: list[str]) -> bool:
        """Whether it is of the same family, and finds all that a step of it needs."""
        own = self.constructed["classes"]
        if own[0] not in classes and classes[0] not in own:
            return False
        for live, group in zip(self.opt.param_groups, groups, strict=True):
            needed = _needed_moments(self.opt, {**live, **group, "params": live["params"]})
            for position in group["params"]:
                if moments.get(position) and not needed <= moments[position].keys():
                    return False
        return True


def _needed_moments(opt: torch.optim.Optimizer, group: dict[str, Any]) -> set[str]:
    """The names of what an optimizer keeps of each parameter, from a step of a copy of it."""
    like = next(iter(group["params"]), None)
    if like is None:
        return set()
    weight = torch.zeros([1] * like.ndim, dtype=like.dtype, device=like.device, requires_grad=True)
    weight.grad = torch.zeros_like(weight)
    probe = object.__new__(type(opt))
    probe.__dict__.update(vars(opt))
    probe.__dict__.pop("step", None)  # torch's schedulers replace it by one of the original
    probe.__dict__.update(
        state=defaultdict(dict),
        param_groups=[{**group, "params": [weight]}],
        _optimizer_step_pre_hooks=OrderedDict(),
        _optimizer_step_post_hooks=OrderedDict(),
    )
    try:
        with preserved_rng():
            probe.step()
    except Exception:  # an optimizer of the user's own may need what a copy has not
        return set()
    return {name for name, value in probe.state[weight].items() if value is not None}


def _settings(group: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in group.items() if key not in ("params", "param_names")}


def _classes(opt: torch.optim.Optimizer) -> list[str]:
    kinds = type(opt).__mro__
    return [
        f"{kind.__module__}.{kind.__qualname__}"
        for kind in kinds[: kinds.index(torch.optim.Optimizer)]
    ]


def _shown(classes: list[str]) -> str:
    return classes[0].rpartition(".")[2]
