from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest
from omegaconf import OmegaConf

from legoloop.app.config.settings import (
    COLLECTIONS,
    COMPONENTS,
    LAUNCH_KEYS,
    OBSERVATION_KEYS,
    TOP_LEVEL,
    DataSettings,
    RunSettings,
    SweepSettings,
    defaults,
    help_text,
    labels,
    read_settings,
    setting_names,
)
from legoloop.app.hydra_bridge.shipped_config import CONFIG_NAME, shipped_config_dir
from legoloop.core.errors import ConfigError

SEED = "give a whole number from 0 to 4294967295"
POSITIVE = "give a whole number of at least 1, or null"
TEXT = "give a text"
TEXT_OR_NULL = "give a text or null"
SWITCH = "give true, false or auto"

RUN: dict[str, tuple[list[Any], list[Any], str]] = {
    "seed": ([0, 1, 2**32 - 1], [-1, 2**32, 1.0, "0", True, None, [0]], SEED),
    "num_epochs": ([0, 8], [-1, 1.5, "3", False, None], "give a whole number of at least 0"),
    "epoch_size": ([None, 1, 10**9], [0, -1, 1.0, "1", True], POSITIVE),
    "eval_samples": ([None, 1], [0, -1, 2.5, "all", True], POSITIVE),
    "evaluate_every": ([None, 1, 5], [0, -1, 2.5, "often", True], POSITIVE),
    "evaluate_every_steps": ([None, 1, 500], [0, -1, 2.5, "often", True], POSITIVE),
    "final_evaluation": ([True, False], [None, "auto", 1, 0], "give true or false"),
    "final_samples": ([None, 1], [0, -1, 2.5, "all", True], POSITIVE),
    "device": (["auto", "cuda:1"], [None, "", 0, ["cpu"]], TEXT),
    "channels_last": ([True, False, "auto"], [None, "yes", 1, 0], SWITCH),
    "compile": (
        [True, False, "default", "reduce-overhead", "max-autotune"],
        [None, "fast", 1],
        "give true, false, default, reduce-overhead or max-autotune",
    ),
    "app": ([None, "mine.App"], ["", 3, True], TEXT_OR_NULL),
    "name": ([None, "lr-0.1", "two\nlines"], ["", 3, True, ["a"]], TEXT_OR_NULL),
    "tags": ([[], ["a", "b c"]], [None, "a", [3], {"a": 1}], "give a list of names"),
    "notes": ([None, "a\nb"], ["", 3], TEXT_OR_NULL),
    "profile": ([True, False], [None, "auto", 1, 0], "give true or false"),
    "ranks": ([1, 2], [0, -1, 1.5, "2", None, True], "give a whole number of at least 1"),
    "nodes": ([1, 2], [0, -1, 1.5, "2", None, True], "give a whole number of at least 1"),
    "show": (
        [None, "plan", "config", "schedule", "lr", "batch_size"],
        ["all", True, 1, ""],
        "give one of plan, config, schedule, lr, batch_size, null",
    ),
    "resume": (["auto", "never", "must", "runs/then"], [None, "", True, 45], TEXT),
    "on_config_change": (
        ["refuse", "accept"],
        [None, "ask", True],
        "give one of refuse, accept",
    ),
    "sweep": ([None, {}, {"on_failure": "stop"}], [3, "stop", ["stop"]], "give a mapping of names"),
    "rerun": ([None, "runs/then"], ["", 3], TEXT_OR_NULL),
    "run_dir": (["run"], [None, "", 3], TEXT),
}
DATA: dict[str, tuple[list[Any], list[Any], str]] = {
    "root": ([None, "data"], ["", 3], TEXT_OR_NULL),
    "seed": ([0, 2**32 - 1], [-1, 2**32, None, "0", True], SEED),
    "preload": ([True, False, "auto"], [None, "never", 1], SWITCH),
    "predict_dataset": ([None, "val"], ["", 3], TEXT_OR_NULL),
    "output_key": ([None, "logits"], ["", 3], TEXT_OR_NULL),
    "model_kwargs": ([[], ["task"]], [None, "task", [3], {"task": 1}], "give a list of names"),
    "loaders": ([None, {}, {"train": {}}], [5, "all", []], "give a mapping of names"),
    "datasets": ([None, {}, {"train": {}}], [5, "xor", []], "give a mapping of names"),
}
SWEEP: dict[str, tuple[list[Any], list[Any], str]] = {
    "on_failure": (["continue", "stop"], [None, "maybe", True], "give one of continue, stop"),
    "output": (["summary", "all"], [None, "none", True], "give one of summary, all"),
}
TABLES = ((RunSettings, RUN, ""), (DataSettings, DATA, "data."), (SweepSettings, SWEEP, "sweep."))


@pytest.mark.parametrize(("kind", "table", "prefix"), TABLES)
def test_the_tables_here_have_every_setting(kind: type, table: Any, prefix: str) -> None:
    assert tuple(table) == setting_names(kind)


@pytest.mark.parametrize(
    ("kind", "name", "value"),
    [
        (kind, name, value)
        for kind, table, _ in TABLES
        for name in table
        for value in table[name][0]
    ],
)
def test_what_fits_is_read_as_it_is(kind: type, name: str, value: Any) -> None:
    read = getattr(read_settings(kind, {name: value}), name)
    if name == "sweep":
        assert read == SweepSettings(**(value or {}))
    else:
        assert read == value
        assert type(read) is type(value)


@pytest.mark.parametrize(
    ("kind", "prefix", "name", "value", "told"),
    [
        (kind, prefix, name, value, table[name][2])
        for kind, table, prefix in TABLES
        for name in table
        for value in table[name][1]
    ],
)
def test_what_does_not_fit_is_refused_with_what_would(
    kind: type, prefix: str, name: str, value: Any, told: str
) -> None:
    with pytest.raises(ConfigError) as refused:
        read_settings(kind, {name: value}, prefix)
    assert str(refused.value) == f"{prefix}{name}: is {value!r}; {told}"
    assert refused.value.key == f"{prefix}{name}"


def test_the_settings_of_a_sweep_are_read_within_those_of_a_run() -> None:
    with pytest.raises(ConfigError, match=r"^sweep\.on_failure: is 'maybe'; "):
        read_settings(RunSettings, {"sweep": {"on_failure": "maybe"}})


def test_what_is_left_out_has_its_default() -> None:
    assert read_settings(RunSettings, {}) == RunSettings()
    assert read_settings(DataSettings, {}) == DataSettings()


def test_the_defaults_fit() -> None:
    assert read_settings(RunSettings, defaults()) == RunSettings()


def test_other_keys_are_passed_over() -> None:
    assert read_settings(RunSettings, {"model": {"_target_": "x"}, "nope": 3}) == RunSettings()


def test_there_is_a_line_of_help_for_each_setting() -> None:
    lines = help_text().splitlines()
    keys = [line.split(maxsplit=1)[0] for line in lines]
    of_a_sweep = [f"sweep.{name}" for name in setting_names(SweepSettings)]
    names = setting_names(RunSettings)
    at = names.index("sweep")
    assert keys == [
        *(*names[:at], *of_a_sweep, *names[at + 1 :]),
        *(f"data.{name}" for name in setting_names(DataSettings)),
    ]
    assert all(len(line) > 33 and line[32] == " " != line[33] for line in lines)


def test_each_setting_says_what_it_is_for() -> None:
    for kind in (RunSettings, DataSettings, SweepSettings):
        for each in fields(kind):
            assert each.metadata["help"]
            assert each.metadata["purpose"] in ("training", "launch", "observation")


def test_the_purposes() -> None:
    launch = ("ranks", "nodes", "show", "resume", "on_config_change", "sweep", "rerun", "run_dir")
    assert (*launch, "parallel") == LAUNCH_KEYS
    assert OBSERVATION_KEYS == ("name", "tags", "notes", "profile")


def test_labels_are_those_that_were_given() -> None:
    assert labels(RunSettings()) == {}
    given = {"name": "a", "tags": ["b"], "notes": "c"}
    assert labels(read_settings(RunSettings, given)) == given


def test_a_list_of_defaults_is_nobody_elses() -> None:
    RunSettings().tags.append("a")
    defaults()["tags"].append("b")
    assert RunSettings().tags == defaults()["tags"] == []


def test_defaults_and_help_texts_have_one_place() -> None:
    """Neither a default nor a help text of a setting is written in what ships."""
    written = OmegaConf.load(shipped_config_dir() / f"{CONFIG_NAME}.yaml")
    assert {str(key) for key in written} & {*setting_names(RunSettings)} == set()
    texts = [
        file.read_text()
        for folder in ("hydra/help", ".")
        for file in (shipped_config_dir() / folder).glob("*.yaml")
    ]
    for each in fields(RunSettings):
        assert all(each.metadata["help"] not in text for text in texts)


def test_every_top_level_key_is_known_once() -> None:
    assert len(TOP_LEVEL) == len(set(TOP_LEVEL))
    assert {*TOP_LEVEL} == {*setting_names(RunSettings), "data", *COMPONENTS, *COLLECTIONS}
