"""What import-linter does not check: one file for Hydra's internals, no hidden state."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
INTERNALS = ROOT / "legoloop" / "app" / "hydra_bridge" / "internals.py"
STATE = {
    "app/config/annotations.py: _type_hints": "memo of a pure function",
    "app/config/settings.py: _annotations": "memo of a pure function",
    "app/config/targets.py: parameters": "memo of a pure function",
    "app/hydra_bridge/key_origin.py: _files_by_precedence": "files found, per composition",
    "app/hydra_bridge/key_origin.py: _repository": "files found, per composition",
    "app/hydra_bridge/overrides.py: _options": "files found, per composition",
    "app/hydra_bridge/overrides.py: _parse": "memo of a pure function",
    "app/hydra_bridge/tree_as_yaml.py: _dumper": "memo of a pure function",
    "app/run/command_state.py: _current": "the command at work; Hydra cannot pass it",
    "app/run/nodes.py: _first": "the machines that the launcher gave a job; Hydra cannot pass them",
}
"""All that a module of the app keeps between two calls, and why."""


def modules() -> Iterator[Path]:
    for folder in ("legoloop", "hydra_plugins"):
        yield from sorted((ROOT / folder).rglob("*.py"))


def test_hydras_internals_are_used_in_one_file() -> None:
    users = [path for path in modules() if "hydra._internal" in path.read_text()]
    assert users == [INTERNALS]


def state_of(path: Path) -> Iterator[str]:
    """Names of a module that can change: caches, context variables, globals, mutable values."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.Global):
            yield from node.names
        if isinstance(node, ast.FunctionDef) and any(
            "cache" in (name := ast.unparse(decorator)) and name != "cached_property"
            for decorator in node.decorator_list
        ):
            yield node.name
    for node in tree.body:
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
            target = node.targets[0] if isinstance(node, ast.Assign) else node.target
            if isinstance(node.value, ast.List | ast.Dict | ast.Set | ast.ListComp | ast.DictComp):
                yield ast.unparse(target)
            if isinstance(node.value, ast.Call) and ast.unparse(node.value.func) == "ContextVar":
                yield ast.unparse(target)


def test_the_app_keeps_no_state_but_what_is_named_here() -> None:
    found = {
        f"{path.relative_to(ROOT / 'legoloop')}: {name}"
        for path in (ROOT / "legoloop" / "app").rglob("*.py")
        for name in state_of(path)
        if not name.isupper()  # constants
    }
    assert found == STATE.keys()
