"""Run directories that are damaged, or made to do harm, at random."""

from __future__ import annotations

import json
import os
import random
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml

TREES = ("run.json", "config.yaml", ".hydra/config.yaml")
TABLES = ("metrics.csv", "predicts.csv")
FILES = (*TREES, *TABLES, "git.diff", "weights", ".run.lock")

CONTROL = "\x1b[2J\x9b1m\n9  0.1  COMPLETED  1.5 s\r\u202e\ud800\x07"
"""Clears a screen, forges a row, reverses the direction, is no UTF-8."""

VALUES: tuple[Any, ...] = (
    *(
        None,
        [],
        {},
        "",
        True,
        -1,
        0,
        1e308,
        -1e308,
        float("inf"),
        float("nan"),
        10**400,
        -(10**400),
    ),
    *(
        "x" * 200_000,
        CONTROL,
        "\ud800",
        "${oc.env:HOME}",
        "${nowhere}",
        "${",
        "???",
        "=1+1",
        "1" * 5000,
    ),
    *("2001-99-99", "/dev/zero", {"_target_": "os.system"}, {"__items__": 5}, {CONTROL: 1}, [[{}]]),
    *({str(n): n for n in range(3000)}, ["x"] * 3000),
)

RAW: Mapping[str, tuple[str, ...]] = {
    "json": (
        *(
            "",
            "null",
            "[]",
            "3",
            '"text"',
            "{",
            "[" * 100_000,
            "1" * 5000,
            "1e400",
            "NaN",
            "\ufeff{}",
        ),
        '{"status": "COMPLETED", "final": {"loss": 1e400, "val/loss": ' + "9" * 400 + "}}",
        '{"status": "COMPLETED", "final": {"loss": ' + "9" * 5000 + "}}",
        '{"status": "RUNNING", "attempts": null}',
        '{"status": "FAILED", "started": "0001-01-01T00:00:00", "attempts": [{"started": 3}]}',
        '{"status": "FAILED", "cause": "\\u001b[2J\\n9 COMPLETED", "overrides": ["a=2001-99-99"]}',
        '{"status": "FAILED", "overrides": ["a=' + "[" * 5000 + '", "b=&x [*x]", "=", "+", "~"]}',
        '{"status": "FAILED", "git": "x", "data": [1], "versions": "x", "hardware": 3}',
    ),
    "yaml": (
        *("", "3", "- 1", "a: [1", "a: " + "[" * 100_000, "[" * 3000 + "]" * 3000, "a: &a [*a]"),
        *(
            "&a {b: *a}",
            "a: !!python/object/apply:os.system [true]",
            "a: !!set {b, c}",
            "--- 1\n--- 2",
        ),
        *("a: !!binary aGFsbG8=", "a: 2001-99-99", "a: " + "9" * 5000, "a: 1" + ":59" * 5000),
        *("a: 0x" + "f" * 20_000, "a: !!float x", "? [a, b]\n: 1", "a: ${", "a: ${a}", "a: \x01"),
        "\n".join(
            ["a0: &a0 [x, x]", *(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]" for n in range(1, 40))]
        ),
        "\n".join(
            ["a0: &a0 {x: 1}"]
            + [f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 9)}]}}" for n in range(1, 20)]
        ),
        "? " * 3000 + "a",
        "- " * 3000 + "a",
    ),
    "csv": (
        *(
            "",
            "\n",
            "\n\n\n",
            "idx\n",
            "idx,logit0\n\n3,1\n\n",
            "idx,logit0\n3\n",
            "idx,logit0\n3,1,2\n",
        ),
        *("idx,logit0\n3," + "1" * 200_000 + "\n", 'idx,logit0\n3,"1\n', "idx,logit0\n3,1e400\n"),
        *(
            "idx,logit0\n3,x\n",
            "\ufeffidx,logit0\n3,1\n",
            "step,epoch,loss\r1,1,2\r",
            "idx,idx\n1,2\n",
        ),
        *(
            "step,epoch,loss,loss\n1,1,nan,inf\n",
            f"step,epoch,{CONTROL[:9]}\n1,1,1e400\n",
            "\0" * 99,
        ),
        "idx,logit0\n" + "a" * 30_000_000,
    ),
}


def damage(directory: Path, draw: random.Random) -> str:
    """Damage a run directory in one or two places; what was done."""
    return " and ".join(_damage_once(directory, draw) for _ in range(draw.choice((1, 1, 2))))


def _damage_once(directory: Path, draw: random.Random) -> str:
    how = draw.choice(
        (_other_value, _other_value, _other_text, _other_text, _other_bytes, _other_kind)
    )
    return how(directory, draw)


def _other_value(directory: Path, draw: random.Random) -> str:
    """One of the values of a tree is another one, has another key, or is gone."""
    file = directory / draw.choice(TREES)
    if not _is_small(file):
        return f"nothing more in {file.name}"
    try:
        is_json = file.suffix == ".json"
        tree = json.loads(file.read_text()) if is_json else yaml.safe_load(file.read_text())
        node, key = draw.choice(list(_places(tree)))
    except (OSError, ValueError, IndexError, RecursionError, yaml.YAMLError):  # damaged already
        return f"nothing more in {file.name}"
    value = draw.choice(VALUES)
    done = draw.choice(("value", "value", "value", "key", "gone"))
    if done == "value" or isinstance(node, list):
        node[key] = value
    else:
        kept = node.pop(key)
        if done == "key":
            node[draw.choice((CONTROL, "run", "", "a.b", "3"))] = kept
    if is_json:
        file.write_text(json.dumps(tree))
    else:
        text = yaml.dump(tree, allow_unicode=False)
        file.write_text(text, errors="backslashreplace")
    return f"{done} of {key!r} in {file.name}, {str(value)[:40]!r}"


def _is_small(file: Path) -> bool:
    """Whether it is a file that was not damaged beyond reading."""
    return file.is_file() and not file.is_symlink() and file.stat().st_size < 10**6


def _places(tree: Any) -> Any:
    if isinstance(tree, dict | list):
        for key, value in list(tree.items() if isinstance(tree, dict) else enumerate(tree)):
            yield tree, key
            yield from _places(value)


def _other_text(directory: Path, draw: random.Random) -> str:
    file = directory / draw.choice((*TREES, *TABLES))
    kind = file.suffix[1:]
    number = draw.randrange(len(RAW[kind]))
    return _put(
        file,
        lambda: file.write_text(RAW[kind][number], errors="backslashreplace"),
        f"text {number}",
    )


def _other_bytes(directory: Path, draw: random.Random) -> str:
    file = directory / draw.choice(FILES)
    content = bytearray(file.read_bytes() if _is_small(file) else b"")
    kind = draw.choice(("cut", "flipped", "random", "zeros"))
    if kind == "cut":
        del content[draw.randrange(len(content) + 1) :]
    elif kind == "flipped":
        for _ in range(draw.choice((1, 10, 100)) if content else 0):
            content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
    elif kind == "random":
        content = bytearray(draw.randbytes(draw.choice((1, 1000, 100_000))))
    else:
        content = bytearray(1000)
    return _put(file, lambda: file.write_bytes(content), kind)


def _other_kind(directory: Path, draw: random.Random) -> str:
    """Something that is no such file, or a very large one."""
    file = directory / draw.choice(FILES)
    kinds: Mapping[str, Callable[[], object]] = {
        "absent": lambda: None,
        "a directory": file.mkdir,
        "a FIFO": lambda: os.mkfifo(file),
        "a device": lambda: file.symlink_to("/dev/zero"),
        "a loop": lambda: file.symlink_to(file),
        "a link to nothing": lambda: file.symlink_to("nowhere"),
        "large": lambda: _sparse(file, 2**36),
    }
    name = draw.choice(list(kinds))
    return _put(file, kinds[name], name)


def _put(file: Path, make: Callable[[], object], told: str) -> str:
    if file.is_dir() and not file.is_symlink():
        shutil.rmtree(file)
    else:
        file.unlink(missing_ok=True)
    if not file.parent.is_dir():
        return f"{file.name}: nothing, its folder is gone"
    make()
    return f"{file.name}: {told}"


def _sparse(file: Path, size: int) -> None:
    with file.open("wb") as content:
        content.truncate(size)
