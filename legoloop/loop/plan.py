"""The plan of a run: its plugins, named and in the order in which their hooks are called."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

from legoloop.core.errors import PluginError
from legoloop.core.text_table import text_table
from legoloop.loop.order import Edge, in_order
from legoloop.loop.references import referenced_objects
from legoloop.loop.stages import Hook, Hooks, Stage, collect_hooks


@dataclass(frozen=True)
class Plan:
    """The named plugins in order, the hooks of each, and the one that drives the epoch."""

    plugins: dict[str, object]
    hooks: dict[str, Hooks]
    driver: str

    @classmethod
    def of(
        cls,
        plugins: Iterable[object] | Mapping[str, object],
        edges: Iterable[Edge] | None = None,
    ) -> Plan:
        """Name, check and order the plugins.

        A plugin given twice is kept once, with a warning.

        Args:
            plugins (Iterable[object] | Mapping[str, object]): a list, or a dict that names them.
            edges (Iterable[Edge] | None): pairs of names of which the first is called before the
                second; None: the hooks of a plugin that refers to another are called after the
                other's, and ``after`` and ``before`` cover pairs with no such reference. Where
                the pairs leave a choice, the given order decides.

        Raises PluginError for a wrong plugin, a cycle, a missing peer, no epoch driver or two.
        """
        named = _named(plugins)
        hooks = {name: collect_hooks(name, plugin) for name, plugin in named.items()}
        _reject_without_hooks(named, hooks)
        names = in_order(list(named), _edges(named) if edges is None else edges)
        ordered = {name: named[name] for name in names}
        return cls(ordered, {name: hooks[name] for name in names}, _the_driver(ordered))

    def calls(self, stage: Stage) -> list[Hook]:
        """The hooks to call at a stage, in order."""
        return [hooks[stage] for hooks in self.hooks.values() if stage in hooks]

    def calls_around_driver(self) -> tuple[list[Hook], list[Hook]]:
        """The ``epoch`` hooks to call before the batches of the driver, and those after them."""
        names = list(self.plugins)
        turn = names.index(self.driver)
        return self._epoch_hooks(names[:turn]), self._epoch_hooks(names[turn:])

    def table(self) -> str:
        """A row a plugin, in order, a column a stage; ``D`` marks where the batches run.

        >>> from legoloop.training.counter import Counter
        >>> class Drive:
        ...     def batches(self): yield from ()
        >>> print(Plan.of({"counter": Counter(), "drive": Drive()}).table())
                 train_start epoch_start batch_start batch batch_end within_epoch epoch epoch_end train train_end
        counter  .           .           .           .     x         .            .     x         .     .
        drive    .           .           .           .     .         .            D     .         .     .
        """  # noqa: E501
        return stage_table(self.hooks, self.driver)

    def _epoch_hooks(self, names: Iterable[str]) -> list[Hook]:
        return [self.hooks[name][Stage.EPOCH] for name in names if Stage.EPOCH in self.hooks[name]]


def stage_table(hooks: Mapping[str, Collection[Stage]], driver: str) -> str:
    """What ``Plan.table`` shows, from the stages that each plugin has a hook for."""

    def mark(name: str, stage: Stage) -> str:
        if stage is Stage.EPOCH and name == driver:
            return "D"
        return "x" if stage in hooks[name] else "."

    rows = [(f"{name} ", *(mark(name, stage) for stage in Stage)) for name in hooks]
    return text_table([("", *Stage), *rows], gap=1)


def _named(plugins: Iterable[object] | Mapping[str, object]) -> dict[str, object]:
    if isinstance(plugins, Mapping):
        pairs: Iterator[tuple[str, object]] = iter(plugins.items())
    else:
        pairs = (("", plugin) for plugin in plugins)
    named: dict[str, object] = {}
    for given, plugin in pairs:
        twin = next((name for name, other in named.items() if other is plugin), None)
        if twin is not None:
            warnings.warn(f"plugin '{twin}' is given twice; it runs once", stacklevel=4)
            continue
        name = given or _free_name(plugin, named)
        if name in named:
            raise PluginError(
                f"two plugins are named '{name}'; names must be unique, since state is saved "
                "under them"
            )
        named[name] = plugin
    return named


def _free_name(plugin: object, taken: Mapping[str, object]) -> str:
    own = getattr(plugin, "name", None)
    if isinstance(own, str) and own:
        return own
    name, ordinal = type(plugin).__name__, 2
    while name in taken:
        name, ordinal = f"{type(plugin).__name__}_{ordinal}", ordinal + 1
    return name


def _edges(named: Mapping[str, object]) -> Iterator[Edge]:
    name_of = {id(plugin): name for name, plugin in named.items()}
    for name, plugin in named.items():
        for referenced in referenced_objects(plugin):
            if id(referenced) in name_of:
                yield name_of[id(referenced)], name
    yield from declared_edges(named, {name: type(plugin) for name, plugin in named.items()})


def declared_edges(holders: Mapping[str, object], types: Mapping[str, type]) -> Iterator[Edge]:
    """The pairs that ``after`` and ``before`` put in order; the holders may be the types alone.

    Raises PluginError for a peer that is not there.
    """
    for name, holder in holders.items():
        for peer in _peers(name, holder, "after", types):
            yield peer, name
        for peer in _peers(name, holder, "before", types):
            yield name, peer


def _peers(name: str, holder: object, side: str, types: Mapping[str, type]) -> Iterator[str]:
    wanted = getattr(holder, side, ())
    if isinstance(wanted, str | type):
        wanted = (wanted,)
    if not isinstance(wanted, tuple | list) or not all(isinstance(w, str | type) for w in wanted):
        raise PluginError(
            f"plugin '{name}': its {side} is {wanted!r:.60}; give the names or classes of plugins"
        )
    for peer in wanted:
        matching = [other for other, cls in types.items() if _is_peer(peer, other, cls)]
        if not matching:
            wanted_name = peer if isinstance(peer, str) else peer.__name__
            raise PluginError(
                f"plugin '{name}' wants to be {side} '{wanted_name}', which is not among the "
                f"plugins: {', '.join(types)}"
            )
        yield from matching


def _is_peer(wanted: str | type, name: str, plugin: type) -> bool:
    if isinstance(wanted, type):
        return issubclass(plugin, wanted)
    return wanted == name or wanted in (cls.__name__ for cls in plugin.__mro__)


def _reject_without_hooks(named: Mapping[str, object], hooks: Mapping[str, Hooks]) -> None:
    for name, plugin in named.items():
        if not hooks[name] and not drives(type(plugin)) and not hasattr(plugin, "scalars"):
            raise PluginError(
                f"plugin '{name}', a {type(plugin).__name__}, has no method of a stage and "
                f"no scalars(); the stages are {', '.join(Stage)}"
            )


def _the_driver(plugins: Mapping[str, object]) -> str:
    drivers = [name for name, plugin in plugins.items() if drives(type(plugin))]
    if not drivers:
        raise PluginError(
            "no epoch driver among the plugins: one of them, such as SimpleEpoch, must say with "
            f"batches() what an epoch is; found {', '.join(plugins) or 'no plugins at all'}"
        )
    if len(drivers) > 1:
        raise PluginError(
            f"{len(drivers)} epoch drivers among the plugins: {', '.join(drivers)}; keep one"
        )
    return drivers[0]


def drives(cls: type) -> bool:
    """Whether plugins of this class are epoch drivers: they define ``batches()``.

    A method with a required parameter (``batches(name)``) is another one.
    """
    batches = getattr(cls, "batches", None)
    if not callable(batches):
        return False
    parameters = list(inspect.signature(batches).parameters.values())
    takes_self = inspect.isfunction(inspect.getattr_static(cls, "batches"))
    return not any(_is_required(parameter) for parameter in parameters[takes_self:])


def _is_required(parameter: inspect.Parameter) -> bool:
    variadic = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return parameter.default is inspect.Parameter.empty and parameter.kind not in variadic
