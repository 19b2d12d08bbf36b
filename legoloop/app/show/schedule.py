"""The learning rates of a configuration, plotted without training.

The optimizer is built, and the model and the train data for it; no sample is read.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from omegaconf import DictConfig

from legoloop.app.config.nodes import TARGET, NodeError
from legoloop.app.config.targets import resolve
from legoloop.app.config.trees import Tree, plain
from legoloop.app.wiring.container import make_app
from legoloop.core.errors import ConfigError, DataError
from legoloop.loop.plan import drives
from legoloop.training.schedules.lr_plot import ascii_plot, planned_rates
from legoloop.training.schedules.lr_plugins import LRScheduler
from legoloop.training.schedules.total_steps import total_steps


def schedule(raw: DictConfig) -> str:
    """A curve for each plugin that moves a scheduler, over the steps of the training.

    Raises ConfigError if there is none, or if it cannot be told beforehand.
    """
    tree = plain(raw)
    if tree.get("app") is not None:
        raise NodeError("show", "plots the schedule of the tree, which your app may not follow")
    classes = _classes(tree)
    moving = [name for name, cls in classes.items() if issubclass(cls, LRScheduler)]
    if not moving:
        raise NodeError(
            "show", "there is no curve: the rate stays as it is, or follows what is measured"
        )
    driver = next((name for name, cls in classes.items() if drives(cls)), None)
    if driver is None:
        raise NodeError("show", "there is no curve: no plugin drives the epochs with batches()")
    app = make_app(raw)
    try:
        lengths = _lengths(tree, app.providers[driver]())
        return "\n\n".join(_curve(name, app.providers[name](), lengths) for name in moving)
    except DataError as error:
        raise ConfigError(f"show=schedule needs the train data: {error}") from error


def _classes(tree: Tree) -> dict[str, type]:
    """The class of each plugin, by name; plugins that a function makes are not among them."""
    made = {name: resolve(node[TARGET]) for name, node in sorted(tree["plugins"].items()) if node}
    return {name: target for name, target in made.items() if isinstance(target, type)}


def _lengths(tree: Tree, epoch: Any) -> list[int]:
    """The number of steps of each epoch, up to the first limit."""
    steps = total_steps(
        epoch,
        tree["num_epochs"],
        num_steps=(tree["plugins"].get("last_step") or {}).get("num_steps"),
        num_samples=(tree["plugins"].get("last_sample") or {}).get("num_samples"),
    )
    if steps == 0:
        raise NodeError("show", "there is no curve: the training has no step")
    return list(_cut(epoch.lengths(tree["num_epochs"]), steps))


def _cut(lengths: Sequence[int], steps: int) -> Iterator[int]:
    for length in lengths:
        if steps <= 0:
            return
        yield min(length, steps)
        steps -= length


def _curve(name: str, plugin: LRScheduler, lengths: Sequence[int]) -> str:
    rates = planned_rates(plugin, lengths)
    return (
        f"{name}: {type(plugin.scheduler).__name__}, moved once per {plugin.interval}; "
        f"{len(lengths)} epochs, {sum(lengths)} steps\n"
        f"first {rates[0]:.4g}, greatest {max(rates):.4g} at step {rates.index(max(rates))}, "
        f"last {rates[-1]:.4g}\n{ascii_plot(rates)}"
    )
