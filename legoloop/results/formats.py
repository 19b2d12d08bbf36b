"""A table written for a terminal, for a page, or for another program."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from math import isfinite
from typing import Any

from legoloop.results.grouping import Spread
from legoloop.results.reading import Run, Seconds
from legoloop.results.table import Table

GAP = 2
"""Spaces between two columns."""


def terminal(table: Table, width: int | None = None) -> str:
    """Aligned columns, without the causes of failures, which are long.

    What is wider than ``width`` goes on in a second block, each with the first column.

    >>> print(terminal(Table(["run", "val/loss"], [["a", 0.123456], ["b", 12.0]])))
    run  val/loss
    a      0.1235
    b          12
    """
    if not table.rows:
        return "no runs"
    table = table.without_repeats()
    shown = table.only(name for name in table.columns if name != "cause" and _says(table, name))
    columns = [_column(shown, name) for name in shown.columns]
    blocks = ["\n".join(map(_line, zip(*block, strict=True))) for block in _blocks(columns, width)]
    return "\n\n".join(blocks)


def with_causes(table: str, runs: Sequence[Run]) -> str:
    """A table for a terminal, and below it what each failed run failed of."""
    told = [(run.name, str(run.value("cause"))) for run in runs if run.value("cause")]
    lines = [f"  {name}: " + cause.replace("\n", "\n    ") for name, cause in told]
    return "\n".join([table, "", "failed:", *lines]) if lines else table


def to_csv(table: Table) -> str:
    """Exact numbers; a mean, its deviation and its n are three columns.

    >>> print(to_csv(Table(["run", "loss"], [["a", 1 / 3]])))
    run,loss
    a,0.3333333333333333
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    table = _spread_out(table)
    writer.writerow(table.columns)
    writer.writerows([["" if cell is None else _exact(cell) for cell in row] for row in table.rows])
    return text.getvalue().rstrip("\n")


def to_json(table: Table) -> str:
    """A list of objects; what is not a finite number is null.

    >>> print(to_json(Table(["run", "loss"], [["a", float("nan")]])))
    [
      {"run": "a", "loss": null}
    ]
    """
    table = _spread_out(table)
    objects = [dict(zip(table.columns, map(_finite, row), strict=True)) for row in table.rows]
    lines = (json.dumps(one, default=str, ensure_ascii=False) for one in objects)
    return "[\n" + ",\n".join(f"  {line}" for line in lines) + "\n]"


def markdown(table: Table) -> str:
    """A table for a page in Markdown.

    >>> print(markdown(Table(["run", "n"], [["a|b", 2]])))
    | run | n |
    | :-- | --: |
    | a\\|b | 2 |
    """
    head, *rows = _page(table, lambda text: " ".join(text.replace("|", "\\|").split()))
    lines = [head, [_aligned(table, name, "--:", ":--") for name in _shown(table)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def latex(table: Table) -> str:
    r"""A ``tabular`` with the rules of the booktabs package.

    >>> print(latex(Table(["batch_size"], [[32]])))
    \begin{tabular}{r}
    \toprule
    batch\_size \\
    \midrule
    32 \\
    \bottomrule
    \end{tabular}
    """
    head, *rows = (" & ".join(line) + r" \\" for line in _page(table, _for_latex))
    alignment = "".join(_aligned(table, name, "r", "l") for name in _shown(table))
    lines = [rf"\begin{{tabular}}{{{alignment}}}", r"\toprule", head, r"\midrule", *rows]
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}"])


def formats(width: int | None) -> Mapping[str, Callable[[Table], str]]:
    """How a table is written, by the name of the format; ``width`` is that of the terminal."""
    return {
        "table": partial(terminal, width=width),
        "csv": to_csv,
        "markdown": markdown,
        "latex": latex,
        "json": to_json,
    }


def text(cell: Any) -> str:
    """A cell for people: four digits, a duration with its units.

    >>> text(0.123456), text(Seconds(125)), text(Spread(0.5, 0.01, 3)), text(None)
    ('0.1235', '2 min 5 s', '0.5 ± 0.01', '')
    """
    if cell is None:
        return ""
    if isinstance(cell, Seconds):
        return _duration(cell)
    if isinstance(cell, Spread):
        return f"{cell.mean:.4g}" + ("" if cell.std is None else f" ± {cell.std:.2g}")
    return f"{cell:.4g}" if isinstance(cell, float) else str(cell)


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, left = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {left} s"


def _says(table: Table, name: str) -> bool:
    """Columns without anything in them are left out where people read."""
    return any(cell is not None for cell in table.column(name)) and not (
        name == "not completed" and not any(table.column(name))
    )


def _column(table: Table, name: str) -> list[str]:
    cells = [name, *map(text, table.column(name))]
    width = max(map(len, cells))
    align = str.rjust if _is_of_numbers(table, name) else str.ljust
    return [align(cell, width) for cell in cells]


def _line(cells: Sequence[str]) -> str:
    return (" " * GAP).join(cells).rstrip()


def _blocks(columns: list[list[str]], width: int | None) -> list[list[list[str]]]:
    """The columns in as many blocks as the width asks for."""
    first, *others = columns
    blocks = [[first]]
    for column in others:
        needed = sum(len(cells[0]) + GAP for cells in (*blocks[-1], column)) - GAP
        if width is not None and needed > width and len(blocks[-1]) > 1:
            blocks.append([first])
        blocks[-1].append(column)
    return blocks


def _shown(table: Table) -> list[str]:
    return [name for name in table.without_repeats().columns if _says(table, name)]


def _page(table: Table, escaped: Callable[[str], str]) -> list[list[str]]:
    """The heading and the rows, as text that the page takes as it is."""
    shown = table.only(_shown(table))
    return [[escaped(text(cell)) for cell in row] for row in (shown.columns, *shown.rows)]


def _aligned(table: Table, name: str, number: str, other: str) -> str:
    return number if _is_of_numbers(table, name) else other


def _is_of_numbers(table: Table, name: str) -> bool:
    return all(isinstance(cell, int | float | Spread | None) for cell in table.column(name))


_LATEX = str.maketrans(
    {
        **{sign: f"\\{sign}" for sign in "&%$#_{}"},
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "\\": r"\textbackslash{}",
        "<": r"\textless{}",
        ">": r"\textgreater{}",
        "±": r"$\pm$",
        "\n": " ",
    }
)


def _for_latex(text: str) -> str:
    return text.translate(_LATEX)


def _spread_out(table: Table) -> Table:
    """A column each for mean, deviation and n."""
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


def _exact(cell: Any) -> Any:
    return repr(float(cell)) if isinstance(cell, float) else cell


def _finite(cell: Any) -> Any:
    return None if isinstance(cell, float) and not isfinite(cell) else cell
