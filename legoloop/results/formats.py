"""A table as plain text, Markdown, LaTeX, CSV or JSON."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from math import isfinite
from typing import Any

from legoloop.core.text import printable
from legoloop.core.text_table import text_table
from legoloop.results.grouping import Spread
from legoloop.results.reading import Run, Seconds
from legoloop.results.table import Table

GAP = 2
"""Spaces between two columns on a terminal."""

_FORMULA = ("=", "+", "-", "@")
_NOT_PRINTABLE = re.compile(r"[^ -~]")


def terminal(table: Table, width: int | None = None) -> str:
    """The table as aligned plain text, without the causes of failures, which are long.

    A table wider than ``width`` is split into blocks, each with the first column.

    >>> print(terminal(Table(["run", "val/loss"], [["a", 0.123456], ["b", 12.0]])))
    run  val/loss
    a      0.1235
    b          12
    """
    if not table.rows:
        return "no runs"
    table = table.without_repeats()
    names = [name for name in _nonempty(table) if name != "cause"]
    return "\n\n".join(_block(table, block) for block in _blocks(table, names, width))


def with_causes(table: str, runs: Sequence[Run]) -> str:
    """A table for a terminal, and below it the causes of the failed runs."""
    causes = [(run.name, run.value("cause")) for run in runs if run.value("cause")]
    lines = [
        f"  {printable(name)}: " + printable(str(cause), keep="\n").replace("\n", "\n    ")
        for name, cause in causes
    ]
    return "\n".join([table, "", "failed:", *lines]) if lines else table


def to_csv(table: Table) -> str:
    """The table as CSV with exact numbers; mean, standard deviation and n are three columns.

    Line breaks stay, in quotes; other control characters are escaped. A text that a spreadsheet
    would calculate, as it begins with ``=``, ``+``, ``-`` or ``@``, is given an apostrophe.

    >>> print(to_csv(Table(["run", "loss"], [["a", 1 / 3], ["=1+1", -0.5]])))
    run,loss
    a,0.3333333333333333
    '=1+1,-0.5
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    table = _spread_out(table)
    writer.writerows([map(_csv_cell, row) for row in (table.columns, *table.rows)])
    return text.getvalue().rstrip("\n")


def to_json(table: Table) -> str:
    """The table as a list of JSON objects; nan and infinity are null.

    >>> print(to_json(Table(["run", "loss"], [["a", float("nan")]])))
    [
      {"run": "a", "loss": null}
    ]
    """
    table = _spread_out(table)
    rows = [dict(zip(table.columns, map(_json_cell, row), strict=True)) for row in table.rows]
    lines = (_NOT_PRINTABLE.sub(_json_escape, json.dumps(row, ensure_ascii=False)) for row in rows)
    return "[\n" + ",\n".join(f"  {line}" for line in lines) + "\n]"


def markdown(table: Table) -> str:
    """The table in Markdown.

    >>> print(markdown(Table(["run", "n"], [["a|b", 2]])))
    | run   |   n |
    |:------|----:|
    | a\\|b  |   2 |
    """
    return _tabulated(table, "pipe", escape=lambda text: re.sub(r"[\\|<]", r"\\\g<0>", text))


def latex(table: Table) -> str:
    r"""The table in LaTeX: a ``tabular`` with the rules of the booktabs package.

    >>> print(latex(Table(["batch_size"], [[32]])))
    \begin{tabular}{r}
    \toprule
       batch\_size \\
    \midrule
               32 \\
    \bottomrule
    \end{tabular}
    """
    if not table.rows:  # a blank one: without a row, tabulate declares no columns
        table = Table(table.columns, [[""] * len(table.columns)])
    return _tabulated(table, "latex_booktabs").replace("±", r"$\pm$")


def formats(width: int | None) -> Mapping[str, Callable[[Table], str]]:
    """The functions that format a table, by name; ``width`` is that of the terminal."""
    return {
        "table": partial(terminal, width=width),
        "csv": to_csv,
        "markdown": markdown,
        "latex": latex,
        "json": to_json,
    }


def text(cell: Any) -> str:
    """A cell as text: four significant digits, a duration with its units, no control characters.

    >>> text(0.123456), text(Seconds(125)), text(Spread(0.5, 0.01, 3)), text(None)
    ('0.1235', '2 min 5 s', '0.5 ± 0.01', '')
    """
    if cell is None:
        return ""
    if isinstance(cell, Seconds):
        return _duration(cell)
    if isinstance(cell, Spread):
        return f"{cell.mean:.4g}" + ("" if cell.std is None else f" ± {cell.std:.2g}")
    return f"{cell:.4g}" if isinstance(cell, float) else printable(str(cell))


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, left = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {left} s"


def _nonempty(table: Table) -> list[str]:
    """The columns with a value; ``not completed`` only if that is not 0 everywhere."""
    return [
        name
        for name in table.columns
        if any(
            cell is not None and (name != "not completed" or cell) for cell in table.column(name)
        )
    ]


def _cells(table: Table, name: str) -> list[str]:
    return [printable(name), *map(text, table.column(name))]


def _block(table: Table, names: Sequence[str]) -> str:
    right = [column for column, name in enumerate(names) if _is_numeric(table, name)]
    return text_table(zip(*(_cells(table, name) for name in names), strict=True), right, GAP)


def _blocks(table: Table, names: Sequence[str], width: int | None) -> list[list[str]]:
    """The columns of each block, as many as fit into the width; at least two."""
    widths = {name: max(map(len, _cells(table, name))) for name in names}
    first, *others = names
    blocks = [[first]]
    for name in others:
        needed = sum(widths[column] + GAP for column in (*blocks[-1], name)) - GAP
        if width is not None and needed > width and len(blocks[-1]) > 1:
            blocks.append([first])
        blocks[-1].append(name)
    return blocks


def _tabulated(table: Table, style: str, escape: Callable[[str], str] = str) -> str:
    from tabulate import tabulate  # type: ignore[import-untyped]

    table = table.without_repeats()
    table = table.only(_nonempty(table) if table.rows else table.columns)
    header, *rows = (
        [escape(text(" ".join(cell.split()) if isinstance(cell, str) else cell)) for cell in row]
        for row in (table.columns, *table.rows)
    )
    align = ["right" if _is_numeric(table, name) else "left" for name in table.columns]
    return str(tabulate(rows, header, style, disable_numparse=True, colalign=align))


def _is_numeric(table: Table, name: str) -> bool:
    return all(isinstance(cell, int | float | Spread | None) for cell in table.column(name))


def _spread_out(table: Table) -> Table:
    """With a column each for mean, standard deviation and n."""
    columns: list[str] = []
    cells: list[list[Any]] = []
    for name in table.columns:
        column = table.column(name)
        if any(isinstance(cell, Spread) for cell in column):
            for part in ("mean", "std", "n"):
                columns.append(f"{name} {part}")
                cells.append([getattr(cell, part, None) for cell in column])
        else:
            columns.append(name)
            cells.append(column)
    return Table(columns, list(zip(*cells, strict=True)))


def _csv_cell(cell: Any) -> Any:
    if cell is None:
        return ""
    if isinstance(cell, float):
        return repr(float(cell))
    if isinstance(cell, int):
        return cell
    shown = printable(str(cell), keep="\n")
    return f"'{shown}" if shown.startswith(_FORMULA) and not _is_number(shown) else shown


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _json_cell(cell: Any) -> Any:
    """What JSON can hold of a cell."""
    if isinstance(cell, float):
        return cell if isfinite(cell) else None
    if isinstance(cell, Mapping):
        return {str(key): _json_cell(value) for key, value in cell.items()}
    if isinstance(cell, list):
        return [_json_cell(value) for value in cell]
    return cell if isinstance(cell, str | int | None) else str(cell)


def _json_escape(match: re.Match[str]) -> str:
    char = match.group()
    return char if char.isprintable() else json.dumps(char)[1:-1]
