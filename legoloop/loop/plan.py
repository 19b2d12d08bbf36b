"""The plan of a run: its plugins, named and in the order in which they hear each stage."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

from legoloop.core.errors import PluginError
from legoloop.loop.order import Edge, in_order
from legoloop.loop.references import referenced_objects
from legoloop.loop.stages import Heard, Stage, collect_hooks


@dataclass(frozen=True)
class Plan:
    """The named plugins in order, what each of them hears, and the one that drives the epoch."""

    plugins: dict[str, object]
    heard: dict[str, Heard]
    driver: str

    @classmethod
    def of(
        cls,
        plugins: Iterable[object] | Mapping[str, object],
        edges: Iterable[Edge] | None = None,
    ) -> Plan:
        """Name, check and order the plugins.

        A plugin that holds another hears each stage after it; ``after`` and ``before`` cover the
        pairs with no such tie; else the given order decides. A plugin given twice is kept once,
        with a warning.

        Raises PluginError for a wrong plugin, a cycle, a missing peer, no epoch driver or two.
        """
        named = _named(plugins)
        heard = {name: collect_hooks(name, plugin) for name, plugin in named.items()}
        _reject_without_hooks(named, heard)
        names = in_order(list(named), _edges(named) if edges is None else edges)
        ordered = {name: named[name] for name in names}
        return cls(ordered, {name: heard[name] for name in names}, _the_driver(ordered))

    def calls(self, stage: Stage) -> list[Callable[..., object]]:
        """The methods to call at a stage, in order."""
        return [heard[stage] for heard in self.heard.values() if stage in heard]

    def table(self) -> str:
        """A row a plugin, in order, a column a stage; ``D`` marks where the batches run.

        >>> from legoloop.training.counter import Counter
        >>> class Drive:
        ...     def batches(self): yield from ()
        >>> print(Plan.of({"counter": Counter(), "drive": Drive()}).table())
                 train_start epoch_start batch_start batch batch_end epoch epoch_end train train_end
        counter  .           .           .           .     x         .     x         .     .
        drive    .           .           .           .     .         D     .         .     .
        """
        return stage_table(self.heard, self.driver)


def stage_table(heard: Mapping[str, Collection[Stage]], driver: str) -> str:
    """What ``Plan.table`` shows, from the stages that each plugin hears."""
    width = max(map(len, heard)) + 2
    rows = [" " * width + " ".join(Stage)]
    for name in heard:
        marks = " ".join(
            _mark(stage in heard[name], stage is Stage.EPOCH and name == driver).ljust(len(stage))
            for stage in Stage
        )
        rows.append(f"{name:<{width}}{marks}".rstrip())
    return "\n".join(rows)


def _mark(is_heard: bool, drives: bool) -> str:
    return "D" if drives else "x" if is_heard else "."


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
            raise PluginError(f"two plugins are named '{name}'; names tell their states apart")
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
        for thing in referenced_objects(plugin):
            if id(thing) in name_of:
                yield name_of[id(thing)], name
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
            shown = peer if isinstance(peer, str) else peer.__name__
            raise PluginError(
                f"plugin '{name}' wants to be {side} '{shown}', which is not among the plugins: "
                f"{', '.join(types)}"
            )
        yield from matching


def _is_peer(wanted: str | type, name: str, plugin: type) -> bool:
    if isinstance(wanted, type):
        return issubclass(plugin, wanted)
    return wanted == name or wanted in (cls.__name__ for cls in plugin.__mro__)


def _reject_without_hooks(named: Mapping[str, object], heard: Mapping[str, Heard]) -> None:
    for name, plugin in named.items():
        if not heard[name] and not drives(type(plugin)) and not hasattr(plugin, "scalars"):
            raise PluginError(
                f"plugin '{name}', a {type(plugin).__name__}, hears no stage and reports no "
                f"scalars; the stages are {', '.join(Stage)}"
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

    A method that must be told of which stream (``batches(name)``) is another one.
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
