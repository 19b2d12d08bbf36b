"""The examples of docs/coming_from.md, as the files of a project, and how many lines they are."""

from __future__ import annotations

import ast
import io
import re
import shutil
import tokenize
from collections.abc import Collection
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "coming_from.md"
GIVEN = Path(__file__).with_name("given.py")
BLOCK = re.compile(
    r"^```(?:yaml|py)\n# ([\w/]+\.(?:yaml|py))\n(.*?)^```$", re.DOTALL | re.MULTILINE
)
DATA = {
    "overlaid": "Overlaid",
    "pairs": "Pairs",
    "small_and_large": "SmallAndLarge",
    "text": "Windows",
}
"""The data sets that the examples are given, by their options."""


def files() -> dict[str, str]:
    """What the page shows of each file of a project."""
    return dict(BLOCK.findall(PAGE.read_text()))


def write_project(folder: Path) -> Path:
    """The examples as a project of a user's, with the models and data that they are given."""
    shutil.copy(GIVEN, folder / "given.py")
    for name, text in files().items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    (folder / "conf" / "data").mkdir()
    for option, kind in DATA.items():
        node = {"_target_": f"given.{kind}"}
        key = "prediction" if option == "small_and_large" else "logits"
        tree = {
            "predict_dataset": "val",
            "output_key": key,
            "loaders": {"default": {"batch_size": 16}},
            "datasets": {"train": node, "val": {**node, "train": False}},
        }
        (folder / "conf" / "data" / f"{option}.yaml").write_text(yaml.safe_dump(tree))
    return folder


def lines_of_yaml(text: str) -> int:
    """Without blank lines and comments."""
    lines = (line.strip() for line in text.splitlines())
    return sum(bool(line) and not line.startswith("#") for line in lines)


def lines_of_python(text: str, but: Collection[str] = ()) -> int:
    """Without blank lines, comments, docstrings and imports, and without some classes.

    >>> lines_of_python("import os\\ndef f():\\n    'Two.'\\n    return (1 +  # one\\n  1)\\n")
    3
    """
    left_out = {
        line
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Import | ast.ImportFrom)
        or _is_docstring(node)
        or (isinstance(node, ast.ClassDef) and node.name in but)
        for line in range(node.lineno, (node.end_lineno or node.lineno) + 1)
    }
    nothing = (tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT)
    written = {
        line
        for token in tokenize.generate_tokens(io.StringIO(text).readline)
        if token.type not in (*nothing, tokenize.ENDMARKER)
        for line in range(token.start[0], token.end[0] + 1)
    }
    return len(written - left_out)


def _is_docstring(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )
