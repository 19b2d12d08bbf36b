"""The stages of the loop, and the hooks that a plugin has for them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from enum import StrEnum
from functools import cache

from legoloop.core.errors import PluginError
from legoloop.loop.plugin import TrainingPlugin


class Stage(StrEnum):
    """A named moment of the loop; the hook of a plugin is its method of the same name."""

    TRAIN_START = "train_start"
    EPOCH_START = "epoch_start"
    BATCH_START = "batch_start"
    BATCH = "batch"
    BATCH_END = "batch_end"
    WITHIN_EPOCH = "within_epoch"
    EPOCH = "epoch"
    EPOCH_END = "epoch_end"
    TRAIN = "train"
    TRAIN_END = "train_end"

    @property
    def takes_step(self) -> bool:
        """Batch stages are given the step, the others nothing."""
        return self.value.startswith("batch")


Hook = Callable[..., object]
Hooks = dict[Stage, Hook]


def collect_hooks(name: str, plugin: object) -> Hooks:
    """The hooks of a plugin: the stages that its type defines, each with the method to call.

    Raises PluginError for a stage with a wrong arity, a method that is a stage misspelt, an
    attribute that shadows a stage, and a class given in place of an instance.

    >>> class Greeter:
    ...     def train_start(self) -> None:
    ...         print("hello")
    >>> list(collect_hooks("greeter", Greeter()))
    [<Stage.TRAIN_START: 'train_start'>]
    """
    if isinstance(plugin, type):
        raise PluginError(f"plugin '{name}' is the class {plugin.__name__}, not an instance of it")
    _reject_shadows(name, plugin)
    _reject_misspelt(name, plugin)
    return {stage: _checked_hook(name, plugin, stage) for stage in hooks_of(type(plugin))}


def hooks_of(cls: type) -> list[Stage]:
    """The stages that plugins of this class have a hook for.

    >>> class Greeter:
    ...     def epoch_end(self) -> None: ...
    >>> hooks_of(Greeter)
    [<Stage.EPOCH_END: 'epoch_end'>]
    """
    return [stage for stage in Stage if _defining_class(cls, stage) is not None]


def _defining_class(cls: type, method: str) -> type | None:
    """The class that defines the method, unless that is our no-op base or the method is torch's.

    ``nn.Module.train`` switches a mode and is no stage, nor is a method that overrides it.
    """
    owners = [c for c in cls.__mro__ if method in vars(c)]
    if not owners or owners[0] is TrainingPlugin:
        return None
    if any(owner.__module__.split(".")[0] == "torch" for owner in owners):
        return None
    return owners[0]


def _checked_hook(name: str, plugin: object, stage: Stage) -> Hook:
    method = getattr(plugin, stage)
    cls = type(plugin).__name__
    if not callable(method):
        raise PluginError(
            f"plugin '{name}': {cls}.{stage} is a {type(method).__name__}, but that name is a "
            "stage; rename the attribute"
        )
    given = ("step",) if stage.takes_step else ()
    try:
        inspect.signature(method).bind(*given)
    except TypeError as error:
        wanted = ", ".join(("self", *given))
        raise PluginError(
            f"plugin '{name}': {cls}.{stage}{_signature_text(plugin, stage)} cannot be called "
            f"as a stage ({error}); define it as {stage}({wanted})"
        ) from None
    return method  # type: ignore[no-any-return]


def _signature_text(plugin: object, stage: str) -> str:
    return str(inspect.signature(getattr(type(plugin), stage)))


def _reject_shadows(name: str, plugin: object) -> None:
    for attribute in getattr(plugin, "__dict__", {}):
        if attribute in Stage.__members__.values():
            raise PluginError(
                f"plugin '{name}': the attribute '{attribute}' of this "
                f"{type(plugin).__name__} shadows the stage of that name; rename it"
            )


def _reject_misspelt(name: str, plugin: object) -> None:
    for method in _own_methods(type(plugin)):
        meant = misspelt_stage(method)
        if meant is not None:
            raise PluginError(
                f"plugin '{name}': {type(plugin).__name__}.{method} is not a stage; "
                f"did you mean {meant}?"
            )


def _own_methods(cls: type) -> Iterator[str]:
    for attribute in dir(cls):
        if attribute.startswith("_") or not callable(inspect.getattr_static(cls, attribute)):
            continue
        if _defining_class(cls, attribute) is not None:
            yield attribute


_SUFFIX_SYNONYMS: dict[str, str] = {
    "begin": "start",
    "began": "start",
    "started": "start",
    "finish": "end",
    "finished": "end",
    "stop": "end",
    "ended": "end",
}
_PREFIX_SYNONYMS: dict[str, str] = {
    "fit": "train",
    "training": "train",
    "step": "batch",
    "iteration": "batch",
    "iter": "batch",
}


@cache
def misspelt_stage(method: str) -> Stage | None:
    """The stage that a method name means, if it means one without being it.

    Words of other frameworks are known (``on_train_epoch_end``, ``after_batch``, ``epoch_finish``),
    and so is a letter wrong in either word of a suffixed stage, or the line between them missing.

    >>> misspelt_stage("on_epoch_end"), misspelt_stage("epoch_strat")
    (<Stage.EPOCH_END: 'epoch_end'>, <Stage.EPOCH_START: 'epoch_start'>)
    >>> misspelt_stage("train_feed") is misspelt_stage("batches") is None
    True
    """
    if method in set(Stage):
        return None
    translated = _translated(method)
    if translated in set(Stage):
        return Stage(translated)
    return next((stage for stage in Stage if _is_nearly(method, stage)), None)


def _translated(method: str) -> str:
    words = method.lower().split("_")
    if len(words) > 1 and words[0] in ("before", "after"):
        words = [*words[1:], "start" if words[0] == "before" else "end"]
    if len(words) > 1 and words[0] == "on":
        words = words[1:]
    if len(words) > 2 and words[0] == "train":
        words = words[1:]
    if len(words) < 2:
        return "_".join(words) if method.startswith("on_") else method
    first, last = words[0], words[-1]
    return "_".join(
        [_PREFIX_SYNONYMS.get(first, first), *words[1:-1], _SUFFIX_SYNONYMS.get(last, last)]
    )


def _is_nearly(method: str, stage: Stage) -> bool:
    """At most a letter a word: ``epoch_stats`` and ``batch_len``, two off, mean themselves."""
    if "_" not in stage:
        return False
    if method == stage.replace("_", ""):
        return True
    words, wanted = method.split("_"), stage.split("_")
    return len(words) == 2 and all(map(_is_one_letter_off, words, wanted))


def _is_one_letter_off(word: str, wanted: str) -> bool:
    return abs(len(word) - len(wanted)) <= 1 and _edits(word, wanted) <= 1


def _edits(left: str, right: str) -> int:
    """Edit distance in which two neighbours that changed places count once."""
    rows = [list(range(len(right) + 1))]
    for i, a in enumerate(left, 1):
        row = [i]
        for j, b in enumerate(right, 1):
            cost = min(rows[-1][j] + 1, row[-1] + 1, rows[-1][j - 1] + (a != b))
            if i > 1 and j > 1 and a == right[j - 2] and left[i - 2] == b:
                cost = min(cost, rows[-2][j - 2] + 1)
            row.append(cost)
        rows.append(row)
    return rows[-1][-1]
