"""The blueprint as it stands after values were set on a composed app."""

from __future__ import annotations

from collections.abc import Callable

from legoloop.app.config.blueprint import Blueprint
from legoloop.app.config.paths import Tree, changes
from legoloop.app.wiring.resolve import resolve_with
from legoloop.core.errors import ConfigError


class CurrentBlueprint:
    """A blueprint, with the values applied that were set on the app after composing.

    What was set travels through references: ``num_epochs`` set late reaches every
    ``${num_epochs}``. The new values are checked like all others.

    Args:
        composed: the blueprint that the app was declared from.
        read: gives the values as they are now.
    """

    def __init__(self, composed: Blueprint, read: Callable[[], Tree]) -> None:
        self.composed = composed
        self._read = read
        self._known, self._current = composed.tree, composed

    def __call__(self) -> Blueprint:
        """The blueprint as it stands.

        Raises ConfigError for a value that was set wrong, and for components that were added or
        removed.
        """
        now = self._read()
        if now != self._known:
            self._current = self._with_changes(now)
            self._known = now
        return self._current

    def _with_changes(self, now: Tree) -> Blueprint:
        composed = self.composed
        tree, unresolved = resolve_with(composed.unresolved, dict(changes(composed.tree, now)))
        blueprint = Blueprint.of(
            tree,
            unresolved,
            composed.origins,
            composed.overrides,
            like=composed,
            sweep=composed.sweep,
            varied=composed.varied,
        )
        # In use, too: one that nothing asked for has no provider.
        if (*blueprint.scope, *blueprint.components) != (*composed.scope, *composed.components):
            raise ConfigError(
                "components cannot be added or removed after composing", key="plugins"
            )
        return blueprint
