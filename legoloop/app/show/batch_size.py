"""The largest batch of which a step fits into the memory of the GPU."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Any

import torch

from legoloop.app.config.blueprint import Blueprint
from legoloop.app.config.components import TRAIN
from legoloop.app.show.first_steps import FirstSteps, make_first_steps
from legoloop.app.wiring.make_app import validated_app
from legoloop.core.errors import ConfigError, DataError
from legoloop.core.out_of_memory import is_out_of_memory

STEPS = 3
"""The state of the optimizer is there from the second step on."""


def batch_size_text(app: Any, blueprint: Blueprint) -> str:
    """The largest batch size for which the first steps run, and how to set it.

    Args:
        app: the container that the blueprint describes; one like it is built for each size.
        blueprint: of the run.

    Raises ConfigError on a CPU, whose memory the system lends to others, without a data set
    ``train``, and if no sample fits.
    """
    if app.device().type == "cpu":
        raise ConfigError(
            "batch_size is for a GPU: a CPU runs out of the memory of the whole machine",
            key="show",
            remedy="give device=cuda, or leave it out",
        )
    if TRAIN not in blueprint.datasets:
        raise ConfigError(
            "batch_size makes batches of the data set 'train', and there is none",
            key="show",
            remedy="try sizes with the stream itself",
        )
    try:
        samples = len(app.data.datasets()[TRAIN])
        configured = app.data.loop_iters()[TRAIN].config.batch_size
    except DataError as error:
        raise ConfigError(f"show=batch_size needs the train data: {error}") from error
    largest, too_large = largest_that_fits(
        lambda size: _fits(blueprint, size), first=min(configured, samples), most=samples
    )
    if not largest:
        raise ConfigError("not even a batch of one sample fits into the memory", key="show")
    beyond = f", {too_large} do not" if too_large else ", all of the data set"
    return (
        f"a step of {largest} samples fits into the memory of {app.device()}{beyond}\n"
        f"data.loaders.default.batch_size={largest}; or, for larger batches, "
        f"plugins.descent.micro_batch_size={largest}"
    )


def largest_that_fits(fits: Callable[[int], bool], first: int, most: int) -> tuple[int, int | None]:
    """The largest size that fits, 0 if none does; and the smallest that was seen not to.

    Sizes are doubled or halved from the first one on, then the gap is bisected.

    >>> largest_that_fits(lambda size: size <= 75, first=32, most=1000)
    (75, 76)
    >>> largest_that_fits(lambda size: True, first=32, most=50)
    (50, None)
    """
    low, high = 0, most + 1
    size = first
    while size and low < size < high:
        if fits(size):
            low, size = size, min(2 * size, most)
        else:
            high, size = size, size // 2
    while high - low > 1:
        middle = (low + high) // 2
        if fits(middle):
            low = middle
        else:
            high = middle
    return low, high if high <= most else None


def _fits(blueprint: Blueprint, size: int) -> bool:
    app, _ = validated_app(blueprint)
    loaders = app.config.data.loaders
    for name in ("default", TRAIN):
        if name == "default" or "batch_size" in (blueprint.tree["data"]["loaders"].get(name) or {}):
            loaders.from_dict({name: {"batch_size": size}})
    try:
        make_first_steps(app, app.blueprint(), FirstSteps(STEPS))
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        return False
    finally:
        del app
        gc.collect()
        torch.cuda.empty_cache()
    return True
