"""What Hydra, OmegaConf and the YAML parser say, in one line that tells what to do."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

import legoloop as ll
from legoloop.app.hydra_bridge.job_config import bind_run_directory, to_plain
from legoloop.app.hydra_bridge.messages import as_config_error, format_error
from legoloop.app.hydra_bridge.overrides import search_path
from legoloop.core.errors import ConfigError
from tests.app.composed import config_of, hydra_at_work, refusal


def composing(*overrides: str) -> str:
    with hydra_at_work(), pytest.raises((HydraException, ValueError)) as refused:
        config_of(*overrides)
    return format_error(refused.value, overrides=overrides)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("model=mpl", "model=mpl: there is no such option; did you mean mlp?"),
        ("loggers=[cvs]", "loggers=cvs: there is no such option; did you mean csv?"),
        (
            "hydra/launcher=proceses",
            "hydra/launcher=proceses: there is no such option; did you mean processes?",
        ),
        (
            "hydra/launcher=joblib",
            "hydra/launcher=joblib: there is no such option; write hydra/launcher=processes "
            "hydra.launcher.n_jobs=…",
        ),
        ("seed", "seed: is not an override; write seed=…"),
        (
            "num_epoch=3",
            "num_epoch (command line): there is no such key or group; to add it, write "
            "+num_epoch=…; did you mean num_epochs?",
        ),
        (
            "optimizer.lrr=1",
            "optimizer.lrr (command line): there is no such key or group; to add it, write "
            "+optimizer.lrr=…; did you mean lr?",
        ),
        (
            "+seed=3",
            "seed (command line): is there already; write seed=3, or ++seed=3 where it may be "
            "missing",
        ),
        ("~nope.x", "nope.x (command line): there is no such key to delete"),
        ("~seeed", "seeed (command line): there is no such key to delete; did you mean seed?"),
        ("~seed=5", "seed (command line): is 0, not 5; write ~seed"),
        ("~seed='a\x85b\u2028c'", "seed (command line): is 0, not a\\x85b\\u2028c; write ~seed"),
        (
            "metrics=null",
            "metrics (command line): is null, no name of an option; there are binary, evaluated, "
            "multiclass, regression",
        ),
        ("+model=mlp", "model (command line): has an option already; write model=mlp"),
        (
            "++model=mlp",
            "model (command line): is a group, whose option is replaced anyway; write model=mlp",
        ),
        ("~model=mlp", "model (command line): has not the option mlp; write ~model"),
        (
            "hydra.mode=BLAH",
            "hydra.mode (command line): Invalid value 'BLAH', expected one of [RUN, MULTIRUN]",
        ),
        ("hydra.sweep.dir=null", "hydra.sweep.dir (command line): cannot be null"),
        (
            "model.hidden.x=3",
            "model.hidden.x (command line): there is no such key, model.hidden has none; write "
            "model.hidden=… as a whole",
        ),
        (
            "model.channels.x=3",
            "model.channels.x (command line): model.channels is a list; write model.channels.0=… "
            'for the first, or "model.channels=[…]"',
        ),
        (
            "experiment=null",
            "experiment (command line): is null, no name of an option; there are mnist; or leave "
            "the group out: ~experiment",
        ),
        ("=3", "=3: has no key; write key=value"),
        (
            "model.channels={first: 3}",
            "model.channels (command line): a list cannot replace a mapping, nor a mapping a list; "
            'take away what is there first: ~model.channels "+model.channels={first: 3}"',
        ),
        (
            "feed=[3]",
            "feed (command line): a list cannot replace a mapping, nor a mapping a list; take away "
            'what is there first: ~feed "+feed=[3]"',
        ),
    ],
)
def test_what_hydra_refuses(override: str, message: str) -> None:
    assert composing(override) == message


def test_of_an_error_of_ours_the_place_is_told() -> None:
    error = ConfigError("is -1", key="optimizer.lr", remedy="give more")
    with hydra_at_work():
        config = config_of("optimizer.lr=3")
        located = as_config_error(error, config)
        elsewhere = as_config_error(ConfigError("is -1", key="optimizer.betas"), config)
    assert str(located) == "optimizer.lr (command line): is -1; give more"
    assert str(elsewhere) == "optimizer.betas (conf/optimizer/adam.yaml): is -1"
    assert as_config_error(error) is not None
    assert format_error(error) == "optimizer.lr: is -1; give more"


def test_a_place_that_is_known_stays() -> None:
    error = ConfigError("is -1", key="optimizer.lr", where="then/config.yaml")
    with hydra_at_work():
        assert as_config_error(error, config_of("optimizer.lr=3")) is error
    without_key = ConfigError("is odd")
    assert as_config_error(without_key) is without_key


@pytest.mark.parametrize("override", ["optimizer.lr=${nope}", "model.more=[{a: '${nope}'}]"])
def test_a_reference_that_leads_nowhere_is_told_by_its_key(override: str) -> None:
    with hydra_at_work():
        config = config_of(f"++{override}")
        bind_run_directory(config, "run")
        with pytest.raises(OmegaConfBaseException) as refused:
            to_plain(config)
        message = format_error(refused.value, config)
    key = override.partition("=")[0]
    assert message.startswith(key)
    assert message.endswith("(command line): Interpolation key 'nope' not found")


def test_a_file_that_is_not_yaml_is_told_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("a: 1\nhidden: [8\nb: 2\n")
    with file.open() as text, pytest.raises(yaml.MarkedYAMLError) as refused:
        yaml.safe_load(text)
    assert format_error(refused.value) == (
        f"{file}, line 3: not YAML that can be read: expected ',' or ']', but got ':'"
    )


def test_of_anything_else_the_first_line_is_told() -> None:
    assert format_error(RuntimeError("\n first\nsecond")) == "first"
    assert format_error(KeyError()) == "KeyError"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (
            "optimizer.lr=0.1,0.2",
            "optimizer.lr (command line): has several values; add -m for a run of each; write "
            '"optimizer.lr=[0.1,0.2]" for a list, "optimizer.lr=\'0.1,0.2\'" for a text',
        ),
        ("model=mlp,logistic", "model (command line): has several options; add -m for a run of "),
        ("seed=interval(1,3)", "seed (command line): gives no values for a grid; write seed=1,2"),
        ("+tag=1,2", "tag (command line): has several values; add -m for a run of each; write "),
        ("seed=range(1,3)", "seed (command line): has several values; add -m for a run of each"),
        ("metrics=null", "metrics (command line): is null, no name of an option; there are "),
        ("+optimizer.fused=true", "optimizer.fused (command line): is there already; write opti"),
    ],
)
def test_compose_tells_what_to_type_instead(override: str, message: str) -> None:
    with pytest.raises(ConfigError) as refused:
        ll.compose([override])
    assert str(refused.value).startswith(message)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["data.root=a=b"], "data.root=a=b: is not an override; write \"data.root='a=b'\""),
        (["data.root=~/a"], "data.root=~/a: is not an override; write data.root=$HOME/a"),
        (["data.root=a#b"], "data.root=a#b: is not an override; write \"data.root='a#b'\""),
        (["data.root=été"], "data.root=été: is not an override; write \"data.root='été'\""),
        (["data.root=it's"], "data.root=it's: is not an override; write \"data.root='it\\'s'\""),
        (["data.root=a!"], "data.root=a!: is not an override; write 'data.root=\"a!\"'"),
        (["tag=[a=b, c]"], "tag=[a=b, c]: is not an override; write \"tag=['a=b',c]\""),
        (["tag=[1,2,]"], 'tag=[1,2,]: is not an override; write "tag=[1,2]"'),
        (["tag={a=1}"], 'tag={a=1}: is not an override; write "tag={a:1}"'),
        (["seed=1,2,"], "seed=1,2,: is not an override; write seed=1,2"),
        (["seed =3"], "seed =3: is not an override; write seed=3"),
        (["tag=${x"], "tag=${x: is not an override; close its ${, or write \\${ for a text"),
        (["+1=3"], "+1=3: is not an override; a key is names of letters, digits and _, with a "),
        (
            ["a..b=3"],
            "a..b=3: is not an override; a key is names of letters, digits and _, with a ",
        ),
        (['""'], '"": is not an override; a key is names of letters, digits and _, with a dot '),
        (["tag=foo(3)"], "tag=foo(3): is not an override (Unknown function 'foo'); write "),
        (["tag=int(a)"], "tag=int(a): is not an override (invalid literal for int() with base 10"),
        (["data.root=[a"], "data.root=[a: is not an override; close what it opens, and quote "),
        (["seed", "3"], "seed: is not an override; write seed=3"),
        (
            ["+run_dir=there"],
            "run_dir (command line): is set by Hydra; where a run writes is said with "
            "hydra.run.dir, or hydra.sweep.dir",
        ),
        (["~run_dir"], "run_dir (command line): is set by Hydra; where a run writes is said with "),
        (["~epoch_size"], "epoch_size (command line): is null already; leave ~epoch_size out"),
        (["seed", "=", "3"], "seed: is not an override; write seed=3"),
        (["seed=", "3"], "3: is not an override; write seed=3"),
        (["seed:", "3"], "seed:: is not an override; write seed=3"),
        (["seed:3"], "seed:3: is not an override; write seed=3"),
        (["seed==3"], "seed==3: is not an override; write seed=3"),
        (["+x={a:", "3}"], '+x={a:: is not an override; write "+x={a: 3}"'),
        (["metrics=null"], "metrics (command line): is null, no name of an option; there are "),
        (["data=nope"], "data=nope: there is no such option; "),
        (["plugins=[default ema]"], "plugins=default ema: there is no such option; write plugins="),
        (["model.hidden=(8,8)"], 'model.hidden=(8,8): is not an override; write "model.hidden=[8,'),
        (["model.hidden={8}"], 'model.hidden={8}: is not an override; write "model.hidden=[8]"'),
        ([f"seed={'1' * 5000}"], "seed (command line): has a number of too many digits; give one"),
    ],
)
def test_what_to_type_instead(overrides: list[str], message: str) -> None:
    assert composing(*overrides).startswith(message)


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("num_epochs: 3\n", "{file}: sets keys below 'experiment'; let it begin with # @package "),
        ("", "{file}: sets keys below 'experiment'; let it begin with # @package _global_"),
        (
            "# @package _global_\ndefaults:\n- override /model: mlp\n- /loss: cross_entropy\n",
            "experiment/e.yaml: in its defaults list, 'override /model: mlp' stands before 'loss: "
            "cross_entropy'; move it to the end of the list",
        ),
        (
            "# @package _global_\ndefaults:\n- /model: mlp\n",
            "model: has an option already; write - override /model: … in the defaults",
        ),
        (
            "# @package _global_\ndefaults:\n- model: mlp\n",
            "there is no group experiment/model; groups are named from the top: write - override "
            "/model: mlp",
        ),
        (
            "# @package _global_\ndefaults:\n- override model: mlp\n",
            "experiment/e.yaml: there is no group 'experiment/model' to override; groups are named "
            "from the top: write - override /model: …",
        ),
        (
            "# @package _global_\ndefaults:\n- override /modle: mlp\n",
            "experiment/e.yaml: there is no group 'modle' to override; did you mean model?",
        ),
        ("# @package _global_\ndefaults: mlp\n", "experiment/e.yaml: its defaults are no list; "),
        (
            "# @package _global_\ndefaults:\n- {a: b, c: d}\n",
            "experiment/e.yaml: one entry of its defaults is {'a': 'b', 'c': 'd'}; write an entry ",
        ),
        (
            "# @package _global_\ndefaults:\n- _self_\n- _self_\n",
            "experiment/e.yaml: its defaults have _self_ twice; keep one",
        ),
        (
            "# @package _global_\n3\n",
            "a configuration file holds a value of type int alone; write ",
        ),
        ("# @package _global_\nnull: 4\n", "a key in a configuration file is null; give it a name"),
        ("# @package _global_\non: 4\n", "True: is a key of type bool; quote 'True'"),
        ("# @package _global_\n3: 4\n", "3: is a key of type int; quote '3'"),
        ("seed: \0\n", "{file}: not YAML that can be read: special characters are not allowed"),
        (
            "\ufeff# @package _global_\nseed: 1\n",
            "{file}: begins with a byte order mark, so that its first line is lost; save it as ",
        ),
        ("# @package _global_\ndefaults:\n- 3\n", "an entry of a defaults list is of type int; "),
        ("# @package _global_\ndefaults:\n- override /model: ???\n", "model: has no option; "),
        (
            "# @package _global_\n- 1\n",
            "experiment/e.yaml: does not fit the files before it: Cannot merge DictConfig with "
            "ListConfig; give keys: values, as those do",
        ),
        (
            "# @package _global_\noptimizer.lr: 3\n",
            "'optimizer.lr': in a file, a dot in a name makes no path; write a line for each name: "
            "optimizer: then lr:",
        ),
        ("# @package a b\nseed: 3\n", "# @package a b: is no place in the configuration; write # "),
        (
            "# @package _global_\ndefaults:\n- /experiment: e\n",
            "configuration files name each other in their defaults lists, or a value is nested ",
        ),
        ("# @package _global_\nseed: ${\n", "seed: no viable alternative at input '${'"),
    ],
)
def test_files_of_a_user_that_hydra_does_not_compose(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: str, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "experiment" / "e.yaml"
    file.parent.mkdir()
    file.write_text(written)
    told = refusal("data=xor", "experiment=e", search_path(tmp_path))
    assert told.startswith(message.format(file=file) if "{file}" in message else message)


def test_a_message_that_nobody_knows_keeps_its_useful_lines() -> None:
    error = HydraException("It is wrong.\n  Write it so.\nConfig search path:\n\tprovider=a\n")
    assert format_error(error) == "It is wrong.; Write it so."


def test_an_option_that_lies_in_conf_is_told_how_to_find_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for group in ("model", "plugins", "towers"):
        (tmp_path / "conf" / group).mkdir(parents=True)
        (tmp_path / "conf" / group / "mine.yaml").write_text("_target_: mine.Net\n")
    remedy = "is found with --config-dir conf, or compose(…, config_dir='conf')"
    assert composing("model=mine") == (
        f"model=mine: there is no such option; conf/model/mine.yaml {remedy}"
    )
    assert composing("plugins=[default,mine]") == (
        f"plugins=mine: there is no such option; conf/plugins/mine.yaml {remedy}"
    )
    assert composing("towers=mine") == (
        f"towers: there is no such key or group; conf/towers/mine.yaml {remedy}"
    )
    assert composing("model=mlpp") == "model=mlpp: there is no such option; did you mean mlp?"
