"""Which plugins cannot be in a run that is trained together with others, and why."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from legoloop.loop.rank_support import STEP_STAGES
from legoloop.loop.stages import hooks_of

REMEDY = "set supports_members = True on its class if that is right (docs/adding_a_brick.md)"


def why_alone(made_by: Callable[..., Any], drives: bool = False) -> str | None:
    """Why a plugin keeps its run from being trained together with others; None: it does not.

    A plugin with a hook of the batch stages is called between passes that several runs share, and
    says with ``supports_members = True`` that it does right by that; so does the epoch driver. With
    ``trained_alone`` any plugin says why its run is trained alone.

    Args:
        made_by: the class of the plugin, or the function that makes it.
        drives: whether it is the epoch driver.

    >>> class Looks:
    ...     def batch_end(self, step): ...
    >>> why_alone(Looks)
    'sees every step and does not say supports_members'
    """
    if (reason := getattr(made_by, "trained_alone", None)) is not None:
        return str(reason)
    if getattr(made_by, "supports_members", False):
        return None
    if not isinstance(made_by, type):
        return "is made by a function, so its class is not known"
    if any(stage in STEP_STAGES for stage in hooks_of(made_by)):
        return "sees every step and does not say supports_members"
    return "drives the epochs and does not say supports_members" if drives else None
