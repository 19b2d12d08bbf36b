"""The keys of a configuration that are not inside a component: types, defaults, help texts.

Everything that is known of such a key stands here once: ``conf/config.yaml`` takes the defaults
from here, ``--help`` the help texts, the checks the types.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import MISSING, Field, dataclass, field, fields
from functools import lru_cache
from typing import Annotated, Any, Literal, TypeVar, cast

from legoloop.core.errors import ConfigError
from legoloop.core.text import shown
from legoloop.state.run_record import LABELS

COMPONENTS = (
    "model",
    "loss",
    "optimizer",
    "scheduler",
    "metrics",
    "accumulators",
    "feed",
    "parallel",
)
"""Groups that are one component each."""
HOOK_GROUPS = ("plugins", "loggers")
"""Groups of named components that the host calls."""
COLLECTIONS = ("components", *HOOK_GROUPS)
"""Groups of named components; those of ``components`` are only injected into others."""
COMMAND_LINE = "command line"
"""Where a key was set that was not set in a file."""

S = TypeVar("S")


@dataclass(frozen=True)
class Range:
    """The bounds of a whole number, both included; None: no upper bound."""

    least: int
    most: int | None = None


Seed = Annotated[int, Range(0, 2**32 - 1)]
Positive = Annotated[int, Range(1)]
Resume = str
Purpose = Literal["training", "launch", "observation"]
"""What a key is about: what the run does, how it is started, or what else is reported of it."""


def _setting(default: Any, help: str, purpose: Purpose = "training") -> Any:
    about = {"help": help, "purpose": purpose}
    if isinstance(default, list):
        return field(default_factory=default.copy, metadata=about)
    return field(default=default, metadata=about)


@dataclass(frozen=True)
class SweepSettings:
    """The keys under ``sweep``."""

    on_failure: Literal["continue", "stop"] = _setting(
        "continue", "stop: start no further job after one that failed"
    )
    output: Literal["summary", "all"] = _setting(
        "summary", "all: what the jobs print too, which goes to their output.log otherwise"
    )


@dataclass(frozen=True)
class DataSettings:
    """The keys under ``data`` besides ``datasets`` and ``loaders``."""

    root: str | None = _setting(None, "the folder with the data, where they need one")
    seed: Seed = _setting(0, "seeds the order of the samples and the augmentation")
    preload: bool | Literal["auto"] = _setting("auto", "keep whole data sets on the GPU")
    predict_dataset: str | None = _setting(None, "the data set whose predictions are written")
    output_key: str | None = _setting(None, "the entry of the model's outputs that is predicted")
    model_kwargs: list[str] = _setting([], "attributes of the train data set that models are given")
    loaders: Mapping[str, Any] | None = _setting(None, "batch size, workers … by data set")
    datasets: Mapping[str, Any] | None = _setting(None, "the data sets by name")


@dataclass(frozen=True)
class RunSettings:
    """The top-level keys that are values; the others are components."""

    seed: Seed = _setting(0, "seeds everything: weights, order, augmentation")
    num_epochs: Annotated[int, Range(0)] = _setting(8, "how many epochs")
    epoch_size: Positive | None = _setting(
        None, "samples an epoch; null: one pass over the train data"
    )
    eval_samples: Positive | None = _setting(
        10000, "at most so many samples of each data set are evaluated after an epoch"
    )
    evaluate_every: Positive | None = _setting(
        1, "evaluate after every so many epochs; null: not by epochs"
    )
    evaluate_every_steps: Positive | None = _setting(
        None, "also evaluate after every so many steps, between two batches"
    )
    final_evaluation: bool = _setting(
        True, "false: no evaluation and no predictions at the end of the training"
    )
    final_samples: Positive | None = _setting(
        None, "at most so many samples of each data set are evaluated at the end; null: all"
    )
    device: str = _setting("auto", "cpu, cuda, cuda:1, …; auto: a GPU if there is one")
    channels_last: bool | Literal["auto"] = _setting(
        "auto", "memory format of images: true, false; auto: if the model has convolutions"
    )
    compile: bool | Literal["default", "reduce-overhead", "max-autotune"] = _setting(
        False, "true: compile model and loss with torch.compile; or one of its modes"
    )
    app: str | None = _setting(None, "a container of your own to run instead: package.module.MyApp")
    name: str | None = _setting(
        None, "what the run is called; may refer to other keys", "observation"
    )
    tags: list[str] = _setting([], "words to find the run by, as [baseline, paper]", "observation")
    notes: str | None = _setting(None, "what should be remembered of the run", "observation")
    profile: bool = _setting(
        False, "report where the time went, and trace a few steps", "observation"
    )
    ranks: Positive = _setting(
        1, "how many processes train together, each on its share of every batch", "launch"
    )
    nodes: Positive = _setting(
        1, "how many machines have the ranks, each as many: with torchrun, Slurm or Ray", "launch"
    )
    show: Literal["plan", "config", "schedule", "lr", "batch_size"] | None = _setting(
        None,
        "print and exit; plan: components, files and order; config: the resolved tree; "
        "schedule: the learning rates; lr: a rate to begin with; batch_size: the largest that fits",
        "launch",
    )
    resume: Resume = _setting(
        "auto",
        "auto: resume an unfinished run in hydra.run.dir; never; must; or a checkpoint",
        "launch",
    )
    on_config_change: Literal["refuse", "accept"] = _setting(
        "refuse",
        "accept: resume a run or a sweep that was made from another configuration",
        "launch",
    )
    sweep: SweepSettings = _setting(SweepSettings(), "settings of a multirun", "launch")
    rerun: str | None = _setting(
        None, "a run directory: the same run again, from its own record", "launch"
    )
    run_dir: str = _setting(
        "${hydra:runtime.output_dir}", "where the run writes; set it with hydra.run.dir", "launch"
    )


def keys_about(purpose: Purpose) -> tuple[str, ...]:
    """The names of the top-level keys with a purpose.

    >>> keys_about("observation")
    ('name', 'tags', 'notes', 'profile')
    """
    return tuple(each.name for each in fields(RunSettings) if each.metadata["purpose"] == purpose)


LAUNCH_KEYS = (*keys_about("launch"), "parallel")
OBSERVATION_KEYS = keys_about("observation")
TOP_LEVEL = (*(each.name for each in fields(RunSettings)), "data", *COMPONENTS, *COLLECTIONS)
"""All top-level keys that something reads."""


BY_REFERENCE = (
    *("num_epochs", "epoch_size", "eval_samples", "channels_last", "compile", "profile"),
    *("evaluate_every", "evaluate_every_steps", "final_evaluation", "final_samples"),
    *("data.root", "data.predict_dataset", "data.output_key"),
)
"""Settings that have an effect only where a component refers to them (``${num_epochs}``)."""


def defaults() -> dict[str, Any]:
    """The settings as ``conf/config.yaml`` has them, unless something else is chosen.

    >>> defaults()["sweep"]
    {'on_failure': 'continue', 'output': 'summary'}
    """
    return {each.name: _plain_default(each) for each in fields(RunSettings)}


def labels(settings: RunSettings) -> dict[str, Any]:
    """What a person calls a run, as its record has it: those that were given.

    >>> labels(RunSettings(name="baseline"))
    {'name': 'baseline'}
    """
    given = {key: getattr(settings, key) for key in LABELS}
    return {key: value for key, value in given.items() if value}


def help_text(width: int = 33) -> str:
    """A line a setting, for ``--help``.

    >>> print(help_text().splitlines()[0])
    seed                             seeds everything: weights, order, augmentation
    """
    lines = (*_help_lines(RunSettings), *_help_lines(DataSettings, "data."))
    return "\n".join(f"{key:<{width}}{text}" for key, text in lines)


def read_settings(kind: type[S], values: Mapping[str, Any], prefix: str = "") -> S:
    """The settings of a tree, checked; what it leaves out has its default.

    Args:
        kind: the dataclass of the settings.
        values: the tree; keys that are no settings are passed over.
        prefix: of the keys in messages, such as ``data.``.

    Raises ConfigError for a value of the wrong type or out of range.

    >>> read_settings(RunSettings, {"num_epochs": 3}).num_epochs
    3
    >>> read_settings(RunSettings, {"num_epochs": -1})
    Traceback (most recent call last):
    legoloop.core.errors.ConfigError: num_epochs: is -1; give a whole number of at least 0
    """
    read: dict[str, Any] = {}
    for name, annotation in _annotations(cast(Hashable, kind)).items():
        if name not in values:
            continue
        value = values[name]
        if isinstance(annotation, type) and annotation in (SweepSettings, DataSettings):
            _check(f"{prefix}{name}", value, Mapping[str, Any] | None)
            read[name] = read_settings(annotation, value or {}, f"{prefix}{name}.")
        else:
            _check(f"{prefix}{name}", value, annotation)
            read[name] = value
    return kind(**read)


def check_nodes(settings: RunSettings) -> None:
    """Raises ConfigError if not all machines would have as many ranks.

    >>> check_nodes(RunSettings(ranks=3, nodes=2))
    Traceback (most recent call last):
    legoloop.core.errors.ConfigError: ranks: is 3, which is no multiple of nodes=2; each machine \
has as many ranks
    """
    if settings.ranks % settings.nodes:
        raise ConfigError(
            f"is {settings.ranks}, which is no multiple of nodes={settings.nodes}",
            key="ranks",
            remedy="each machine has as many ranks",
        )


def setting_names(kind: type) -> tuple[str, ...]:
    """The names of the settings of a dataclass."""
    return tuple(each.name for each in fields(kind))


def _check(key: str, value: Any, annotation: Any) -> None:
    if not any(_fits(value, kind) for kind in _alternatives(annotation)):
        raise ConfigError(f"is {shown(value)}; give {_described(annotation)}", key=key)


@lru_cache(maxsize=8)
def _annotations(kind: Any) -> dict[str, Any]:
    return typing.get_type_hints(kind, include_extras=True)


def _alternatives(annotation: Any) -> tuple[Any, ...]:
    is_union = typing.get_origin(annotation) in (typing.Union, types.UnionType)
    return typing.get_args(annotation) if is_union else (annotation,)


def _fits(value: Any, kind: Any) -> bool:
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is Annotated:
        bounds: Range = arguments[1]
        is_whole = isinstance(value, int) and not isinstance(value, bool)
        return is_whole and bounds.least <= value <= (bounds.most or value)
    if origin is Literal:
        return isinstance(value, str) and value in arguments
    if kind is str:
        return isinstance(value, str) and value != ""
    if origin is list:
        return isinstance(value, list) and all(isinstance(item, str) for item in value)
    return isinstance(value, origin or kind)


def _described(annotation: Any) -> str:
    """What fits, as ``a whole number of at least 1, or null``."""
    kinds = _alternatives(annotation)
    is_optional = type(None) in kinds
    given = [kind for kind in kinds if kind is not type(None)]
    if bool in given:
        words = ["true", "false", *(w for kind in given for w in typing.get_args(kind))]
        return f"{', '.join(words[:-1])} or {words[-1]}"
    (kind,) = given
    if typing.get_origin(kind) is Literal:
        words = [*typing.get_args(kind), *(["null"] if is_optional else [])]
        return f"one of {', '.join(words)}"
    if typing.get_origin(kind) is Annotated:
        bounds: Range = typing.get_args(kind)[1]
        limits = (
            f"from {bounds.least} to {bounds.most}"
            if bounds.most
            else (f"of at least {bounds.least}")
        )
        return f"a whole number {limits}" + (", or null" if is_optional else "")
    if kind is str:
        return "a text" + (" or null" if is_optional else "")
    return "a list of names" if typing.get_origin(kind) is list else "a mapping of names"


def _plain_default(setting: Field[Any]) -> Any:
    if setting.default_factory is not MISSING:
        return setting.default_factory()
    if isinstance(setting.default, SweepSettings):
        return {each.name: _plain_default(each) for each in fields(SweepSettings)}
    return setting.default


def _help_lines(kind: type, prefix: str = "") -> Iterator[tuple[str, str]]:
    for each in fields(kind):
        if isinstance(each.default, SweepSettings):
            yield from _help_lines(SweepSettings, f"{prefix}{each.name}.")
        else:
            yield f"{prefix}{each.name}", each.metadata["help"]
