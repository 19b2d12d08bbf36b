"""``python -m tests.bricks``: the table of every brick, made from the code, for docs/bricks.md."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

import legoloop as ll
from legoloop.app.config.binding import TARGET
from legoloop.app.config.targets import resolve

ROOT = Path(__file__).parent.parent
CONF, DOCS, EXPERIMENTS = ROOT / "conf", ROOT / "docs", ROOT / "experiments"
GLOBAL = "@package _global_"
NOT_BRICKS = {
    # errors, and what stages return
    *(ll.UserError, ll.ArgumentError, ll.ConfigError, ll.DataError, ll.PluginError),
    *(ll.ShouldEvaluate, ll.ShouldPrune, ll.ShouldSave, ll.ShouldStop),
    # what bricks are made of, and what is made of bricks
    *(ll.Accumulator, ll.ScalarWriter, ll.SizedDataset, ll.TrainingPlugin),
    *(ll.LoaderConfig, ll.Data, ll.Stage, ll.Step, ll.TrainingHost, ll.compose, ll.load, ll.seed),
    # called, not configured
    ll.evaluation_mode,
}
HEADER = """# The bricks

Every brick that ships, made from the code (`python -m tests.bricks`): what it is for, how the \
configuration chooses it, and where it is shown at work. Any other class is as good: \
`_target_=package.module.Class`, see [adding a brick](adding_a_brick.md).
"""
CODE = re.compile(r"```.*?```|`[^`\n]+`", re.DOTALL)
YAML = re.compile(r"```yaml\n(.*?)```", re.DOTALL)


@dataclass(frozen=True)
class Brick:
    """A public class or function that configurations name."""

    target: str
    thing: Any

    @property
    def name(self) -> str:
        return self.target.removeprefix("legoloop.").removeprefix("zoo.")

    @property
    def last_name(self) -> str:
        return self.target.rpartition(".")[2]

    @property
    def purpose(self) -> str:
        return (inspect.getdoc(self.thing) or "").split("\n\n")[0].replace("\n", " ")

    def choices(self) -> list[str]:
        """How it is chosen: ``model=mlp``; in the loop by default: ``plugins.…``; or as a node."""
        return list(_options().get(self.target) or _nodes().get(self.target, {}))

    def pages(self) -> list[str]:
        """The pages whose code has it, by its name or by one of its options."""
        shown = "|".join([rf"\b{self.last_name}\b", *map(_shown, self.choices())])
        return [page.name for page, code in _code_of_pages().items() if re.search(shown, code)]


def bricks() -> list[Brick]:
    """All of them: what legoloop exports, and what the configurations that ship name."""
    exported = {
        f"legoloop.{name}": getattr(ll, name)
        for name in ll.__all__
        if callable(getattr(ll, name)) and getattr(ll, name) not in NOT_BRICKS
    }
    named = {
        target: resolve(target)
        for target in {**_options(), **_nodes()}
        if target.startswith("legoloop.") and ".app." not in target
    }
    return [Brick(*pair) for pair in sorted({**named, **exported}.items())]


def table() -> str:
    """A row a brick."""
    rows = ["| brick | for | chosen by | shown in |", "|---|---|---|---|"]
    for brick in bricks():
        pages = ", ".join(f"[{page.removesuffix('.md')}]({page})" for page in brick.pages())
        choices = "<br>".join(f"`{choice}`" for choice in brick.choices())
        rows.append(f"| `{brick.name}` | {brick.purpose} | {choices} | {pages} |")
    return "\n".join([HEADER, *rows]) + "\n"


@cache
def _pages() -> list[Path]:
    return [page for page in sorted(DOCS.glob("*.md")) if page.name != "bricks.md"]


@cache
def _code_of_pages() -> dict[Path, str]:
    """Of each page its blocks of code, and within lines the calls, overrides and nodes."""
    return {
        page: "\n".join(
            code for code in CODE.findall(page.read_text()) if re.search("[=({\n]", code)
        )
        for page in _pages()
    }


@cache
def _options() -> dict[str, dict[str, None]]:
    """For each target the options that ship with it, in the order of the files."""
    options: dict[str, dict[str, None]] = {}
    for file in sorted(CONF.rglob("*.yaml")):
        group = file.parent.relative_to(CONF).as_posix()
        if group.startswith("hydra"):
            continue
        for path, target in _targets(yaml.safe_load(file.read_text())):
            options.setdefault(target, {}).setdefault(_choice(group, file.stem, path))
    return options


@cache
def _nodes() -> dict[str, dict[str, None]]:
    """For each target the nodes of the projects and pages that name it: a line of YAML each."""
    nodes: dict[str, dict[str, None]] = {}
    for tree in _shown_trees():
        for path, target in _targets(tree):
            nodes.setdefault(target, {}).setdefault(f"{path}: {{{TARGET}: {target}}}")
    return nodes


def _shown_trees() -> Iterator[Any]:
    for file in sorted(EXPERIMENTS.rglob("conf/**/*.yaml")):
        written = file.read_text()
        tree = yaml.safe_load(written)
        yield tree if GLOBAL in written else {file.parent.name: tree}
    for page in _pages():
        yield from map(yaml.safe_load, YAML.findall(page.read_text()))


def _choice(group: str, option: str, path: str) -> str:
    if group == ".":
        return path
    if group == "plugins" and option == "default":
        return f"plugins.{path}"
    if group == "plugins":
        return f"plugins=[default,checkpoints,{option}]"
    return f"{group}=[{option}]" if group == "loggers" else f"{group}={option}"


def _shown(choice: str) -> str:
    """A pattern for the choice as pages write it: ``plugins=[…,ema]`` with others beside it."""
    group, is_list, option = choice.rpartition("=[")
    if not is_list:
        return re.escape(choice) + r"\b"
    return rf"{group}=\[[^]]*\b{option.removesuffix(']').rpartition(',')[2]}\b"


def _targets(node: Any, path: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(node, dict):
        if isinstance(node.get(TARGET), str):
            yield path, node[TARGET]
        for key, inner in node.items():
            yield from _targets(inner, f"{path}.{key}" if path else str(key))
    elif isinstance(node, list):
        for inner in node:
            yield from _targets(inner, path)


if __name__ == "__main__":
    print(table(), end="")
