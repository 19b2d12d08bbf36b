"""The scalars that the record of a run holds."""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from typing import Any

from legoloop.core.metric_direction import is_best
from legoloop.loop.host import TrainingHost
from legoloop.output.scalars.history import History


def final_scalars(host: TrainingHost | None) -> Mapping[str, Any]:
    """The last value of each scalar that the history kept, and the best of each metric."""
    plugins = host.plan.plugins.values() if host is not None else ()
    history = next((plugin for plugin in plugins if isinstance(plugin, History)), None)
    if history is None:
        return {}
    final: dict[str, float | None] = {}
    best: dict[str, dict[str, float]] = {}
    for step, scalars in history.rows.items():
        for tag, value in scalars.items():
            final[tag] = value if isfinite(value) else None
            if is_best(tag, value, best.get(tag, {}).get("value")):
                best[tag] = {"value": value, "step": step}
    return {"final": final, "best": best}
