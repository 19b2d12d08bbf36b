"""Whether the command is a run or a multirun, learnt from what the run is then made of."""

from __future__ import annotations

from typing import Any

from hydra._internal.hydra import Hydra
from hydra.types import RunMode

_by_hydra = Hydra.get_mode


def compose_once() -> None:
    """Let Hydra run what it composed to learn that it is to run, instead of composing it again."""
    Hydra.get_mode = _mode  # type: ignore[assignment, method-assign]


def _mode(hydra: Hydra, config_name: str | None, overrides: list[str]) -> RunMode | None:
    """What ``hydra.mode`` is set to; None if it is not, or if nothing can be composed.

    What cannot be composed for a run, such as values to sweep over, is composed for a multirun.
    """
    loader: Any = hydra.config_loader
    try:
        config = loader.load_configuration(config_name, overrides, RunMode.RUN)
    except Exception:
        return _by_hydra(hydra, config_name, overrides)  # type: ignore[no-any-return]
    mode: RunMode | None = config.hydra.mode

    def load_configuration(*args: Any, run_mode: RunMode, **kwargs: Any) -> Any:
        del loader.load_configuration
        if run_mode is not RunMode.RUN:
            return loader.load_configuration(*args, run_mode=run_mode, **kwargs)
        if mode is None:  # Hydra adds that to the overrides, having asked
            config.hydra.mode = RunMode.RUN
            config.hydra.overrides.hydra.append("hydra.mode=RUN")
        return config

    loader.load_configuration = load_configuration
    return mode
