"""Tables of plain text, their columns aligned."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence


def text_table(rows: Iterable[Sequence[str]], right: Collection[int] = (), gap: int = 2) -> str:
    """The rows as lines of one text, without spaces at their ends.

    Args:
        rows (Iterable[Sequence[str]]): rows of cells, all of one length, the header among them.
        right (Collection[int]): the columns that are aligned to the right, counted from 0.
        gap (int): the number of spaces between two columns.

    >>> print(text_table([("layer", "params"), ("fc", "7850"), ("norm", "20")], right=[1]))
    layer  params
    fc       7850
    norm       20
    """
    table = [tuple(row) for row in rows]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]

    def line(row: Sequence[str]) -> str:
        cells = (
            cell.rjust(width) if column in right else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        return (" " * gap).join(cells).rstrip()

    return "\n".join(map(line, table))
