"""A table as plain text, Markdown, LaTeX, CSV or JSON."""

from __future__ import annotations

import csv
import io
import json
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from math import isfinite
from typing import Any

from legoloop.core.terminal import is_terminal, width_of
from legoloop.core.text import is_number, printable
from legoloop.core.text_table import text_table
from legoloop.results.grouping import Spread
from legoloop.results.reading import NOT_BEGUN, Run, Seconds
from legoloop.results.table import BEST, FINAL, Table

GAP = 2
"""Spaces between two columns on a terminal."""

LONGEST_TEXT = 40
"""Characters of a note, or of a value above a table, that a terminal shows."""

JOBS_SHOWN = 20
"""So many jobs that have not begun are named with their overrides."""

NARROWEST = 4
"""A column is cut to no fewer characters."""

_FORMULA = ("=", "+", "-", "@")
_NOT_PRINTABLE = re.compile(r"[^ -~]")


def terminal(table: Table, width: int | None = None) -> str:
    """The table as aligned plain text, without the causes of failures, which are long.

    What is equal in all rows stands above it, once. A terminal that is too narrow loses columns,
    which are named below; no line is longer than ``width``.

    >>> rows = [["a", 0.123456, "COMPLETED"], ["b", 12.0, "COMPLETED"]]
    >>> print(terminal(Table(["run", "val/loss", "status"], rows)))
    the same everywhere: status COMPLETED
    run  val/loss
    a      0.1235
    b          12
    """
    if not table.rows:
        return "no runs"
    table = table.without_repeats((BEST, FINAL))
    names = _finals_beside([name for name in _nonempty(table) if name != "cause"])
    equal = [name for name in names[table.identifying :] if _is_equal(table, name)]
    columns = {name: _cells(table, name) for name in names if name not in equal}
    left_out = _left_out(table, columns, width)
    kept = {name: cells for name, cells in columns.items() if name not in left_out}
    shared = {name: text(table.column(name)[0]) for name in equal}
    shared.update({key: text(v) for key, v in table.shared.items() if key not in names})
    lines = [_block(table, kept if width is None else _within(kept, width))]
    if shared:
        items = [f"{printable(key)} {_short(value)}" for key, value in shared.items()]
        lines.insert(0, _fitting("the same everywhere: ", items, " · ", "", width))
    if left_out:
        columns_are = "column is" if len(left_out) == 1 else "columns are"
        head = f"{len(left_out)} {columns_are} left out: "
        tail = "; --metric/--format csv shows them"
        lines.append(_fitting(head, [printable(n) for n in left_out], ", ", tail, width))
    return "\n".join(lines)


def terminal_width() -> int | None:
    """The characters in a line of the terminal that is written to; None if it is none."""
    return width_of(sys.stdout) if is_terminal(sys.stdout) else None


def with_causes(table: str, runs: Sequence[Run]) -> str:
    """A table for a terminal, and below it the causes of the failed runs."""
    causes = [(run.name, run.value("cause")) for run in runs if run.value("cause")]
    lines = [
        f"  {printable(name)}: " + printable(str(cause), keep="\n").replace("\n", "\n    ")
        for name, cause in causes
    ]
    return "\n".join([table, "", "failed:", *lines]) if lines else table


def with_overrides(table: str, columns: Sequence[str], runs: Sequence[Run]) -> str:
    """A table for a terminal, and below it what the jobs were given that have not begun.

    Args:
        table: as text.
        columns: those that it has; a job whose overrides are all among them is not named again.
        runs: that it lists.
    """
    waiting = {
        run.name: run.record["overrides"]
        for run in runs
        if run.record["status"] == NOT_BEGUN and not run.config.keys() <= {*columns}
    }
    lines = [f"  {printable(name)}: {printable(' '.join(o))}" for name, o in waiting.items()]
    if len(lines) > JOBS_SHOWN:
        lines[JOBS_SHOWN:] = [f"  and {len(lines) - JOBS_SHOWN} more"]
    return "\n".join([table, "", f"{NOT_BEGUN}:", *lines]) if lines else table


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


def _finals_beside(names: Sequence[str]) -> list[str]:
    """The same names, ``final/val/loss`` after ``val/loss``.

    >>> _finals_beside(["val/loss", "val/f1", "final/val/loss"])
    ['val/loss', 'final/val/loss', 'val/f1']
    """

    def place(name: str) -> tuple[int, bool]:
        best, plain = name.startswith(BEST), name.removeprefix(BEST)
        own = next((n for n in (plain.removeprefix(FINAL), plain) if n in names), name)
        return names.index(own), plain.startswith(FINAL) or best

    return sorted(names, key=place)


def _is_equal(table: Table, name: str) -> bool:
    """Whether a column of several rows has one value, in each of them."""
    cells = table.column(name)
    return len(cells) > 1 and None not in cells and len({repr(cell) for cell in cells}) == 1


def _cells(table: Table, name: str) -> list[str]:
    cells = table.column(name)
    if name == "notes":
        return [name, *(_short(str(cell or "").partition("\n")[0]) for cell in cells)]
    return [printable(name), *map(text, cells)]


def _short(value: str) -> str:
    """The beginning of a text that has more than ``LONGEST_TEXT`` characters, in one line."""
    shown = printable(value)
    return shown if len(shown) <= LONGEST_TEXT else f"{shown[: LONGEST_TEXT - 1]}…"


def _block(table: Table, columns: Mapping[str, Sequence[str]]) -> str:
    right = [place for place, name in enumerate(columns) if _is_numeric(table, name)]
    return text_table(zip(*columns.values(), strict=True), right, GAP)


def _left_out(
    table: Table, columns: Mapping[str, Sequence[str]], width: int | None
) -> Sequence[str]:
    """The columns that a terminal has no room for, in the order of the table."""
    if width is None:
        return []
    widths = {name: max(map(len, cells)) + GAP for name, cells in columns.items()}
    identifying = [name for name in columns if name in table.columns[: table.identifying]]
    widths |= {name: min(widths[name], width // 2) for name in identifying}  # they can be cut
    others = [name for name in columns if name not in identifying]
    first = [name for name in table.expendable if name in others]
    lost: list[str] = []
    for name in [*first, *(name for name in reversed(others) if name not in first)]:
        if sum(widths.values()) - GAP <= width:
            break
        lost.append(name)
        del widths[name]
    return [name for name in columns if name in lost]


def _within(columns: Mapping[str, Sequence[str]], width: int) -> dict[str, Sequence[str]]:
    """The columns with the widest of them cut to fit: names at their beginning, others at the end.

    A column keeps four characters at least.
    """
    widths = {name: max(map(len, cells)) for name, cells in columns.items()}
    while sum(widths.values()) + GAP * (len(widths) - 1) > width:
        widest = max(widths, key=lambda name: widths[name])
        if widths[widest] <= NARROWEST:
            break
        widths[widest] -= 1
    first = next(iter(columns))
    return {
        name: [_cut(cell, widths[name], from_end=name == first) for cell in cells]
        for name, cells in columns.items()
    }


def _cut(cell: str, width: int, from_end: bool) -> str:
    if len(cell) <= width:
        return cell
    return f"…{cell[len(cell) - width + 1 :]}" if from_end else f"{cell[: width - 1]}…"


def _fitting(head: str, items: Sequence[str], gap: str, tail: str, width: int | None) -> str:
    """One line with the items that it has room for, and the number of the others."""
    if width is None:
        return f"{head}{gap.join(items)}{tail}"
    room = width - len(head) - len(tail)
    kept: list[str] = []
    for place, item in enumerate(items):
        is_last = place == len(kept) == len(items) - 1
        more = 0 if is_last else len(f"{gap}and {len(items)} more")
        if len(gap.join([*kept, item])) + more <= room:
            kept.append(item)
    left = len(items) - len(kept)
    told = [*kept, f"and {left} more"] if kept and left else kept
    line = f"{head}{gap.join(told)}{tail}" if told else f"{head.rstrip(': ')}{tail}"
    return _cut(line, width, from_end=False)


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
    return f"'{shown}" if shown.startswith(_FORMULA) and not is_number(shown) else shown


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
