"""Every rank has a shard of the model: torch's ``fully_shard`` (FSDP2)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from legoloop.core.errors import ArgumentError
from legoloop.core.ranks import current_ranks
from legoloop.core.shards import is_sharded, keep_template
from legoloop.training.parallel.data_parallel import Run, SyncedForward, make_batchnorm_synchronous


class FullySharded:
    """Weights, gradients and the state of the optimizer are sharded over the ranks: FSDP2.

    Each rank holds a part of each, and gathers the weights of a layer when it computes it. What is
    saved is whole, so that any number of ranks goes on from it. Evaluations gather the whole model
    first.

    Args:
        sync_batchnorm: whether a batch norm has the statistics of the whole batch, as
            ``SyncBatchNorm``, which needs GPUs; otherwise it has those of the rank's share.
        reshard_after_forward: whether the weights of a layer are freed until its backward pass,
            which then gathers them again.

    The members of a ModuleList are gathered one after the other; all other weights together.
    """

    def __init__(self, sync_batchnorm: bool = False, reshard_after_forward: bool = True) -> None:
        self.sync_batchnorm = sync_batchnorm
        self.reshard_after_forward = reshard_after_forward

    def prepare(self, model: nn.Module) -> None:
        """Shard the model in place."""
        from torch.distributed.device_mesh import init_device_mesh
        from torch.distributed.fsdp import fully_shard

        if self.sync_batchnorm:
            make_batchnorm_synchronous(model)
        for weight in model.parameters():  # fully_shard takes no weights in channels-last order
            weight.data = weight.data.contiguous()
        keep_template(model)
        device = next(model.parameters()).device.type
        mesh = init_device_mesh(device, (current_ranks().size,))
        listed = [module for module in model.modules() if isinstance(module, nn.ModuleList)]
        for module in [*(layer for layers in listed for layer in layers), model]:
            fully_shard(module, mesh=mesh, reshard_after_forward=self.reshard_after_forward)

    def wrap(self, model: nn.Module, opt: torch.optim.Optimizer, run: Run) -> SyncedForward:
        """The model sums its gradients itself.

        Raises ArgumentError for an optimizer of other parameters than those that were sharded.
        """
        parameters = [p for group in opt.param_groups for p in group["params"]]
        if not all(map(is_sharded, parameters)):
            raise ArgumentError(
                "shards the component 'model' alone, but an optimizer has parameters elsewhere",
                argument="parallel",
                remedy="give parallel=ddp",
            )
        return _Sharded(model, run)

    def check(self, model: nn.Module) -> None:
        """Nothing is there twice."""


class _Sharded:
    def __init__(self, model: nn.Module, run: Run) -> None:
        self._model: Any = model
        self._run = run

    def __call__(self, batch: Any) -> Any:
        return self._run(batch)

    @contextmanager
    def no_sync(self) -> Iterator[None]:
        self._model.set_requires_gradient_sync(False)
        try:
            yield
        finally:
            self._model.set_requires_gradient_sync(True)
