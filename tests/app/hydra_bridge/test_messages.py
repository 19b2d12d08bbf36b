"""What Hydra, OmegaConf and the YAML parser say, in one line that tells what to do."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from legoloop.app.hydra_bridge.job_config import bind_run_directory, to_plain
from legoloop.app.hydra_bridge.messages import as_config_error, format_error
from legoloop.core.errors import ConfigError
from tests.app.composed import config_of, hydra_at_work


def composing(*overrides: str) -> str:
    with hydra_at_work(), pytest.raises((HydraException, ValueError)) as refused:
        config_of(*overrides)
    return format_error(refused.value)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("model=mpl", "model=mpl: there is no such option; did you mean mlp?"),
        ("loggers=[cvs]", "loggers=cvs: there is no such option; did you mean csv?"),
        (
            "hydra/launcher=proceses",
            "hydra/launcher=proceses: there is no such option; did you mean processes?",
        ),
        ("seed", "seed: not an override that Hydra can read; Error parsing override 'seed'"),
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
        ("+seed=3", "Could not append to config. An item is already at 'seed'."),
        ("~nope", "Could not delete from config. 'nope' does not exist."),
        (
            "plugins=null",
            "a group takes the name of one of its options; remove it with ~group",
        ),
        (
            "hydra.mode=BLAH",
            "Error merging override hydra.mode=BLAH: Invalid value 'BLAH', expected one of "
            "[RUN, MULTIRUN]",
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
