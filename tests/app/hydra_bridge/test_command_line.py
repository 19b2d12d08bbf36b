"""Flags that Hydra does not know, each with what to type instead."""

from __future__ import annotations

import pytest

from legoloop.app.hydra_bridge.command_line import check_flags
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
        ("num_epochs=3 -m seed=1,2", "seed=1,2: stands after a flag; write flags before all over"),
        ("--cfg=nope", "argument --cfg/-c: invalid choice: 'nope' (choose from 'job', 'hydra', 'a"),
    ],
)
def test_flags_that_are_none(arguments: str, message: str) -> None:
    with pytest.raises(ConfigError) as refused:
        check_flags(arguments.split())
    assert str(refused.value).startswith(message)
