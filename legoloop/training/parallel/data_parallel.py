"""Every rank has the whole model: torch's DistributedDataParallel."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager
from types import SimpleNamespace
from typing import Any, Protocol

import torch
from torch import nn

from legoloop.core.errors import ArgumentError, DataError
from legoloop.core.ranks import current_ranks
from legoloop.core.text import shorten
from legoloop.training.torch_shortcuts import ddp_without_dynamo

Run = Callable[[Any], Any]
"""Calls model and loss for a batch."""


class SyncedForward(Protocol):
    """Calls model and loss so that a backward pass leaves the same gradients on all ranks."""

    def __call__(self, batch: Any) -> Any:
        """What model and loss make of the batch."""
        ...

    def no_sync(self) -> AbstractContextManager[None]:
        """Inside, gradients are accumulated on each rank alone."""
        ...


class Parallel(Protocol):
    """How ranks share the work of a step; only asked where there are several."""

    def prepare(self, model: nn.Module) -> None:
        """Change the model in place, before its optimizer is made."""
        ...

    def wrap(self, model: nn.Module, opt: torch.optim.Optimizer, run: Run) -> SyncedForward:
        """Let ``run`` leave the mean of the ranks' gradients."""
        ...

    def check(self, model: nn.Module) -> None:
        """Raise an error if the ranks have come to different weights."""
        ...


class DataParallel:
    """Each rank has the whole model, and gradients are summed: ``DistributedDataParallel``.

    A process alone does without all of this.

    Args:
        find_unused_parameters: whether each step looks for parameters that its loss does not depend
            on; without it, a step in which a parameter gets no gradient is an error.
        sync_batchnorm: whether a batch norm has the statistics of the whole batch, as
            ``SyncBatchNorm``, which needs GPUs; otherwise it has those of the rank's share.
        bucket_cap_mb: gradients are sent in pieces of about so many megabytes.

    Raises ArgumentError for a size that is not above 0.

    >>> DataParallel(bucket_cap_mb=0)
    Traceback (most recent call last):
    legoloop.core.errors.ArgumentError: bucket_cap_mb is 0; give a number above 0
    """

    def __init__(
        self,
        find_unused_parameters: bool = False,
        sync_batchnorm: bool = False,
        bucket_cap_mb: float = 25,
    ) -> None:
        if not bucket_cap_mb > 0:
            raise ArgumentError(
                f"is {bucket_cap_mb}", argument="bucket_cap_mb", remedy="give a number above 0"
            )
        self.find_unused_parameters = find_unused_parameters
        self.sync_batchnorm = sync_batchnorm
        self.bucket_cap_mb = bucket_cap_mb

    def prepare(self, model: nn.Module) -> None:
        """Make its batch norms synchronous, if that is asked for."""
        if self.sync_batchnorm:
            make_batchnorm_synchronous(model)

    def wrap(self, model: nn.Module, opt: torch.optim.Optimizer, run: Run) -> SyncedForward:
        """Sum the gradients of the optimizer's parameters, whatever ``run`` calls."""
        return _Replicated(model, opt, run, self)

    def check(self, model: nn.Module) -> None:
        """Raises PluginError unless all ranks have the same weights, to the bit."""
        current_ranks().check_replicas(list(model.parameters()))


def make_batchnorm_synchronous(model: nn.Module) -> None:
    """Replace the batch norms inside a model by ``SyncBatchNorm``, which needs GPUs.

    Raises ArgumentError without a GPU, and for a model that is a batch norm itself.
    """
    if not torch.cuda.is_available():
        raise ArgumentError(
            "is true, but there is no GPU, which torch's SyncBatchNorm needs",
            argument="sync_batchnorm",
            remedy="leave it out",
        )
    converted: Any = nn.SyncBatchNorm.convert_sync_batchnorm(model)  # type: ignore[no-untyped-call]
    if converted is not model:
        raise ArgumentError(
            "is true, but the model itself is a batch norm", argument="sync_batchnorm"
        )


class _Replicated:
    """A DistributedDataParallel that is made anew when parameters are frozen or thawed."""

    def __init__(
        self, model: nn.Module, opt: torch.optim.Optimizer, run: Run, settings: DataParallel
    ) -> None:
        self._parameters = [p for group in opt.param_groups for p in group["params"]]
        self._names = {id(weight): name for name, weight in model.named_parameters()}
        self._run = run
        self._settings = settings
        self._trainable: list[bool] | None = None
        # The host looks for state in what plugins hold, but not inside the standard library's.
        self._wrap: Any = SimpleNamespace(module=None)

    def __call__(self, batch: Any) -> Any:
        try:
            return self._wrapped(batch)
        except RuntimeError as error:
            if "finished reduction in the prior iteration" not in str(error):
                raise
            raise self._unused() from error

    def no_sync(self) -> AbstractContextManager[None]:
        context: AbstractContextManager[None] = self._wrapped.no_sync()
        return context

    @property
    def _wrapped(self) -> Any:
        trainable = [weight.requires_grad for weight in self._parameters]
        if trainable != self._trainable:
            self._wrap.module = self._made()
            self._trainable = trainable
        return self._wrap.module

    def _made(self) -> nn.Module:
        from torch.nn.parallel import DistributedDataParallel

        # Of a weight with a dimension of 1, whose strides can be written in two ways.
        warnings.filterwarnings("ignore", message="Grad strides do not match bucket view strides")
        # The backward pass comes to them in about this order.
        step = _Step([p for p in reversed(self._parameters) if p.requires_grad], self._run)
        known = inspect.signature(DistributedDataParallel).parameters
        # Evaluations take the buffers of rank 0; until then each rank has its own.
        syncs_buffers = next(n for n in ("forward_sync_buffers", "broadcast_buffers") if n in known)
        buffers: Any = {syncs_buffers: False}
        with ddp_without_dynamo():
            wrapped = DistributedDataParallel(
                step,
                find_unused_parameters=self._settings.find_unused_parameters,
                bucket_cap_mb=self._settings.bucket_cap_mb,
                gradient_as_bucket_view=True,
                **buffers,
            )
        # After its first step it would order them by that: the first step of a resumed run would
        # sum gradients in another order than that step did before.
        wrapped.reducer._push_all_rebuilt_params()
        wrapped.reducer._rebuild_buckets()
        return wrapped

    def _unused(self) -> DataError:
        without = [p for p in self._parameters if p.requires_grad and p.grad is None]
        names = [self._names.get(id(p), "a parameter of the loss") for p in without]
        return DataError(
            f"the loss does not depend on all parameters: {shorten(names) or 'some'} got no "
            "gradient in the step before; give parallel.find_unused_parameters=true, or freeze them"
        )


class _Step(nn.Module):
    """Model and loss as one module that has the parameters of an optimizer, and no buffers."""

    def __init__(self, parameters: list[nn.Parameter], run: Run) -> None:
        super().__init__()
        for number, parameter in enumerate(parameters):
            self.register_parameter(str(number), parameter)
        self._run = run

    def forward(self, batch: Any) -> Any:
        return self._run(batch)
