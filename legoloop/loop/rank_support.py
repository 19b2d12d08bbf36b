"""What cannot be trained by several ranks, and why: checked before anything begins."""

from __future__ import annotations

from typing import Any

from legoloop.core.errors import ArgumentError, ConfigError
from legoloop.loop.held_objects import held_objects
from legoloop.loop.plan import Plan
from legoloop.loop.stages import Stage, hooks_of

STEP_STAGES = (Stage.BATCH_START, Stage.BATCH, Stage.BATCH_END)
REMEDY = "set supports_ranks = True on its class if that is right (docs/adding_a_brick.md)"


def reject_without_ranks(plan: Plan, ranks: int, parallel: object = None) -> None:
    """Refuse what would be wrong if several ranks trained it.

    A plugin with a hook of the batch stages sees the samples of one rank alone; a stream must serve
    each rank its share. Both say with ``supports_ranks = True`` that they do right by that;
    ``supports_ranks = False`` says of any plugin that it is for one process.

    Args:
        plan: the plugins.
        ranks: how many ranks there will be.
        parallel: how they will share a step, such as a FullySharded; None: it is not known.

    Raises ConfigError that names the plugin or the stream, or for more ranks than a batch has
    samples; and what a descent refuses of ``parallel``.
    """
    driver: Any = plan.plugins[plan.driver]
    stream = getattr(driver, "train_iterator", None)
    for name, plugin in plan.plugins.items():
        if getattr(plugin, "supports_ranks", None) is False:
            raise ConfigError(
                f"is {ranks}, but plugin '{name}', a {type(plugin).__name__}, is for one process",
                key="ranks",
                remedy="leave one of them out",
            )
        sees_steps = any(stage in STEP_STAGES for stage in hooks_of(type(plugin)))
        if (sees_steps or plugin is driver) and not getattr(plugin, "supports_ranks", False):
            what = "serves the batches" if plugin is driver else "sees the batch of one rank alone"
            raise ConfigError(
                f"is {ranks}, but plugin '{name}', a {type(plugin).__name__}, {what}",
                key="ranks",
                remedy=REMEDY,
            )
    for path, held in {**plan.plugins, **held_objects(plan.plugins)}.items():
        if parallel is not None and hasattr(held, "check_parallel"):
            _check_parallel(f"plugins.{path}", held, parallel)
    if not getattr(stream, "supports_ranks", False):
        raise ConfigError(
            f"is {ranks}, but the training stream, a {type(stream).__name__}, does not serve each "
            "rank its share of a batch",
            key="ranks",
            remedy=REMEDY,
        )
    for size in _batch_sizes(stream):
        if ranks > size:
            raise ConfigError(
                f"is {ranks}, but a batch has {size} samples, of which each rank needs one",
                key="ranks",
                remedy="give fewer ranks, or a larger batch_size",
            )


def _check_parallel(key: str, descent: Any, parallel: object) -> None:
    try:
        descent.check_parallel(parallel)
    except ArgumentError as error:
        raise ConfigError(str(error), key=key) from None


def _batch_sizes(stream: Any) -> list[int]:
    """That of a stream, or those of the streams that it mixes."""
    streams = getattr(stream, "streams", {"": stream}).values()
    configs = (getattr(each, "config", None) for each in streams)
    return [config.batch_size for config in configs if config is not None]
