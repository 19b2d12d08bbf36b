"""Flags that Hydra does not know, each with what to type instead."""

from __future__ import annotations

import pytest
from hydra._internal.utils import get_args_parser

from legoloop.app.hydra_bridge.command_line import check_flags
from legoloop.app.hydra_bridge.internals import flags_last, parse_arguments
from legoloop.core.errors import ConfigError


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--seed=3", "--seed=3: is no flag; overrides have no dashes: write seed=3"),
        ("--seed 3", "--seed: is no flag; overrides have no dashes: write seed=3"),
        ("data=xor --seed 3 -m", "--seed: is no flag; overrides have no dashes: write seed=3"),
        ("--seed -m", "--seed: is no flag; overrides have no dashes: write seed=…"),
        ("--seed model=mlp", "--seed: is no flag; overrides have no dashes: write seed=…"),
        ("--optimizer.lr 0.1", "--optimizer.lr: is no flag; overrides have no dashes: write opti"),
        ("--zzzzzz", "--zzzzzz: is no flag; --hydra-help lists the flags"),
        (
            "num_epochs=3 -m seed=1 --seed=2",
            "--seed=2: is no flag; overrides have no dashes: write",
        ),
        ("--cfg=nope", "argument --cfg/-c: invalid choice: 'nope' (choose from 'job', 'hydra', 'a"),
    ],
)
def test_flags_that_are_none(arguments: str, message: str) -> None:
    with pytest.raises(ConfigError) as refused:
        check_flags(arguments.split())
    assert str(refused.value).startswith(message)


@pytest.mark.parametrize(
    ("arguments", "ordered"),
    [
        ("data=xor -m optimizer.lr=1,2", "data=xor optimizer.lr=1,2 --multirun"),
        ("-m data=xor", "data=xor --multirun"),
        ("--config-dir conf data=xor", "data=xor --config-dir=conf"),
        ("data=xor --config-dir conf model=mine", "data=xor model=mine --config-dir=conf"),
        (
            "data=xor -cd=conf -m model=a,b -r",
            "data=xor model=a,b --run --multirun --config-dir=conf",
        ),
        ("--cfg job data=xor", "data=xor --cfg=job"),
        ("-i -m seed=1,2", "seed=1,2 --multirun --info=all"),
        (
            "~plugins.predicts -i plugins optimizer.lr=-1",
            "~plugins.predicts optimizer.lr=-1 --info=plugins",
        ),
        ("-h", "--help"),
        ("", ""),
    ],
)
def test_flags_stand_anywhere(arguments: str, ordered: str) -> None:
    check_flags(arguments.split())
    assert flags_last(arguments.split()) == ordered.split()
    assert get_args_parser().parse_args(ordered.split()) == parse_arguments(arguments.split())
