"""Configurations that hardly anyone would write, and what becomes of them without a command."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import FrameType
from typing import Any

from hypothesis import strategies as st

from legoloop.app.hydra_bridge.hydra_mistakes import groups
from legoloop.app.hydra_bridge.job_config import blueprint_of_job, run_directory
from legoloop.app.hydra_bridge.messages import format_error
from legoloop.app.hydra_bridge.overrides import quote_override
from legoloop.app.hydra_bridge.shipped_config import shipped_config_dir
from legoloop.app.run.lifecycle import prepare
from legoloop.core.errors import UserError
from legoloop.core.flatten import flatten_config
from tests.app.composed import XOR, blueprint_of, config_of, hydra_at_work

LONGEST_MESSAGE = 2_000
SECONDS = 120
SETTINGS_OF_HYDRA = (
    *("hydra.run.dir", "hydra.sweep.dir", "hydra.job.name", "hydra.job.chdir", "hydra.mode"),
    *("hydra.searchpath", "hydra.verbose", "hydra/launcher", "hydra.callbacks", "hydra"),
)
VALUES = (
    *("", "null", "true", "-1", "0", "1.5", "nan", "inf", "-inf", "1e400", "???", "many", "???x"),
    *("[]", "{}", "[1]", "[null]", "{a:1}", "{a:{b:[1,{c:null}]}}", "[[[[]]]]", "[a,{b:c}]"),
    *("${nope}", "${seed}", "${data}", "${hydra:job.id}", "${oc.env:NOT_SET}", "${", "${.}", "${}"),
    *("${..seed}", "${oc.eval:1}", "{_target_:legoloop.Counter}", "{_target_:3}", "{_target_:a.b}"),
    *("{_target_:builtins.dict,_args_:3}", "{_target_:legoloop.Counter,_inject_:[]}", "{_args_:1}"),
    *("{_target_:os.system}", "legoloop.Counter", "torch.nn.Linear", "os", "a..b", ".", "..", "/"),
    *("a=b", "a b", "a:b", "a,b", "'a", '"a', "(", ")", "[", "}", "~", "#", "é", "\u2028", "\x00"),
    *("range(3)", "choice(1,2)", "interval(0,1)", "glob(*)", "sort(2,1)", "int(a)", "shuffle(1)"),
    *("1" * 5_000, "a" * 5_000, "[" * 50, "{a:" * 40, "999999999999999999999999999999"),
)
SPECIAL = ("_target_", "_args_", "_partial_", "_inject_", "_inject_.opt", "nope", "0", "a.b.c")


@cache
def keys() -> tuple[str, ...]:
    """Every key of a configuration that ships, those of inner nodes too."""
    leaves = [key for key, _ in flatten_config(blueprint_of(*XOR).tree)]
    parts = [key.split(".") for key in leaves]
    inner = {".".join(part[:cut]) for part in parts for cut in range(1, len(part))}
    return tuple(sorted({*leaves, *inner}))


@cache
def options() -> tuple[str, ...]:
    """Every option of every group that ships."""
    return tuple(sorted(file.stem for file in shipped_config_dir().glob("*/*.yaml")))


def overrides() -> st.SearchStrategy[list[str]]:
    """One override to three, most of them wrong; those that Hydra reads reach our own checks."""
    ours = st.sampled_from(keys())
    misspelt = st.builds(lambda key, at: key[:at] + key[at + 1 :], ours, st.integers(0, 12))
    below = st.builds(lambda key, name: f"{key}.{name}", ours, st.sampled_from(SPECIAL))
    key = st.one_of(ours, ours, below, misspelt, st.sampled_from(SETTINGS_OF_HYDRA))
    quoted = st.text(max_size=20).map(quote_override)
    value = st.one_of(st.sampled_from(VALUES), quoted, st.sampled_from(options()))
    sign = st.sampled_from(["", "", "++", "++", "+", "~"])
    of_a_key = st.builds(lambda sign, key, value: f"{sign}{key}={value}", sign, key, value)
    group = st.sampled_from(groups())
    of_a_group = st.builds(lambda sign, group, value: f"{sign}{group}={value}", sign, group, value)
    alone = st.builds(lambda sign, key: f"{sign}{key}", sign, key)
    override = st.one_of(of_a_key, of_a_key, of_a_key, of_a_group, alone, st.text(max_size=30))
    return st.one_of(st.lists(override, min_size=1, max_size=3), of_a_key.map(lambda one: [one]))


@contextmanager
def no_longer_than(seconds: int) -> Iterator[None]:
    """Raises TimeoutError inside."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise TimeoutError(f"took more than {seconds} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def refused(given: list[str]) -> bool:
    """Whether a run with these overrides is refused; False if it could begin.

    Raises AssertionError if it is refused in another way than by one short line, or leaves
    anything in the working directory, and whatever is a traceback for the user.
    """
    before = os.listdir()
    config: Any = None
    message = None
    with hydra_at_work(), no_longer_than(SECONDS):
        try:
            config = config_of(*XOR, *given)
            prepared = prepare(blueprint_of_job(config, run_directory(config)))
        except UserError as error:
            message = format_error(error, config, given)
        except Exception as error:
            if config is not None and not type(error).__module__.startswith(("hydra", "omegaconf")):
                raise
            message = format_error(error, config, given)
        else:
            if prepared.problem is not None and not isinstance(prepared.problem, UserError):
                raise prepared.problem
    assert os.listdir() == before, f"left {sorted(set(os.listdir()) - set(before))}"
    if message is None:
        return False
    assert message.strip(), "says nothing"
    assert len(message) <= LONGEST_MESSAGE, f"says {len(message):,} characters"
    assert len(message.splitlines()) == 1, f"says several lines: {message!r}"
    return True


def in_an_empty_folder(folder: Path) -> None:
    """The working directory of all that follows."""
    folder.mkdir(parents=True, exist_ok=True)
    os.chdir(folder)
