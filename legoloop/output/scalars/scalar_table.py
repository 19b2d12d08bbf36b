"""A table whose rows are printed as they come, in the width that there is."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from legoloop.core.terminal import cells, clipped, painted
from legoloop.core.text import printable
from legoloop.core.text_table import text_table

GAP = 2
"""Spaces between two columns."""
MARK = "*"
"""Stands behind the best value so far."""


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Args:
        title: what the header shows.
        importance: of columns that do not fit side by side, those with the smallest number stay.
        width: of its cells, at least; it grows to that of the title.
        is_marked: whether its best values are marked, for which it has a place behind the number.
    """

    title: str
    importance: int = 0
    width: int = 0
    is_marked: bool = False

    @property
    def cells(self) -> int:
        """Its width on the terminal."""
        return max(self.width, cells(printable(self.title))) + self.is_marked


@dataclass(frozen=True)
class Cell:
    """What stands in a column of a row."""

    text: str
    is_best: bool = False


class RowTable:
    """Lays out rows one by one, under a header that stands above the first.

    A header is printed again if the columns change: one that is new, one that a value outgrew, or a
    terminal that has become another.

    >>> table = RowTable()
    >>> columns = [Column("epoch"), Column("val/loss", is_marked=True)]
    >>> for line in table.lines({"epoch": Cell("1"), "val/loss": Cell("0.5", True)}, columns, 80):
    ...     print(line)
    epoch  val/loss
        1       0.5*
    """

    def __init__(self, has_colours: bool = False) -> None:
        self.has_colours = has_colours
        self._widths: dict[str, int] = {}
        self._above: list[Column] | None = None

    def lines(self, row: Mapping[str, Cell], columns: Sequence[Column], width: int) -> list[str]:
        """A row by the titles of its columns, and the header if the one above is another.

        Args:
            row: a cell a column; one that is not there is empty.
            columns: in the order of the table; those stay that fit.
            width: characters of a line.
        """
        shown = fitting([self._grown(column, row) for column in columns], width)
        header = [] if shown == self._above else [self._header(shown, width)]
        self._above = shown
        return [*header, self._row(row, shown, width)]

    def _grown(self, column: Column, row: Mapping[str, Cell]) -> Column:
        """As wide as its widest cell so far."""
        needed = cells(row[column.title].text) if column.title in row else 0
        known = max(self._widths.get(column.title, 0), column.width, needed)
        self._widths[column.title] = known
        return replace(column, width=known)

    def _header(self, columns: Sequence[Column], width: int) -> str:
        texts = [
            _right(printable(each.title), each.cells - each.is_marked) + " " * each.is_marked
            for each in columns
        ]
        return self.faint(clipped((" " * GAP).join(texts).rstrip(), width))

    def faint(self, line: str) -> str:
        """The line as a heading or a remark is shown."""
        return painted(line, "faint") if self.has_colours else line

    def _row(self, row: Mapping[str, Cell], columns: Sequence[Column], width: int) -> str:
        texts = []
        for column in columns:
            cell = row.get(column.title, Cell(""))
            text = _right(cell.text, column.cells - column.is_marked)
            if column.is_marked:
                text += MARK if cell.is_best else " "
            texts.append((text, cell.is_best))
        plain = (" " * GAP).join(text for text, _ in texts).rstrip()
        if not self.has_colours or cells(plain) > width:
            return clipped(plain, width)
        coloured = (painted(text, "good") if is_best else text for text, is_best in texts)
        return (" " * GAP).join(coloured).rstrip()


def fitting(columns: Iterable[Column], width: int) -> list[Column]:
    """The columns that fit side by side, in their order; the most important one always stays.

    >>> [column.title for column in fitting([Column("step", 1), Column("loss", 0)], width=9)]
    ['loss']
    """
    columns = list(columns)
    places = sorted(range(len(columns)), key=lambda place: columns[place].importance)
    chosen: set[int] = set()
    left = width + GAP
    for place in places:
        needed = columns[place].cells + GAP
        if needed > left and chosen:
            # What is less important does not take the place of what is more so.
            break
        chosen.add(place)
        left -= needed
    return [columns[place] for place in sorted(chosen)]


def small_table(corner: str, rows: Mapping[str, Mapping[str, str]], width: int) -> list[str]:
    """A table that is known as a whole: a name a row, the columns that fit.

    Args:
        corner (str): stands above the names.
        rows (Mapping): the texts by column, of each row by name.
        width (int): characters of a line.

    >>> print(*small_table("final", {"val": {"loss": "0.5"}}, 80), sep="\\n")
    final  loss
    val     0.5
    """
    titles = list(dict.fromkeys(title for row in rows.values() for title in row))
    beside = max(map(cells, [corner, *map(printable, rows)]))
    columns = fitting(
        (
            Column(title, place, max(cells(row.get(title, "")) for row in rows.values()))
            for place, title in enumerate(titles)
        ),
        width - beside - GAP,
    )
    shown = [column.title for column in columns]
    texts = [
        [corner, *map(printable, shown)],
        *(
            [printable(name), *(row.get(title, "") for title in shown)]
            for name, row in rows.items()
        ),
    ]
    table = text_table(texts, right=range(1, len(shown) + 1), gap=GAP)
    return [clipped(line, width) for line in table.split("\n")]


def left_out(tags: Collection[str], hint: str, width: int) -> str:
    """One line that names what is not shown, as much of it as fits.

    >>> left_out(["train/loss", "train/f1", "train/mae"], "columns=[…]", 40)
    'not shown: train/loss, … (columns=[…])'
    >>> left_out(["train/loss"], "columns=[…]", 80)
    'not shown: train/loss (columns=[…])'
    """
    names = [printable(tag) for tag in tags]
    for most in range(len(names), 0, -1):
        ending = [] if most == len(names) else ["…"]
        line = f"not shown: {', '.join([*names[:most], *ending])} ({hint})"
        if cells(line) <= width:
            return line
    return clipped(f"not shown: {len(names)} scalars ({hint})", width)


def number(value: float) -> str:
    """A value in a table: four digits behind the point where these say enough.

    >>> number(0.5), number(12.3456), number(0.0000123), number(float("nan"))
    ('0.5000', '12.35', '1.23e-05', 'nan')
    """
    if value == 0 or 1e-3 <= abs(value) < 10:
        return f"{value:.4f}"
    return f"{value:.4g}" if 10 <= abs(value) < 1e5 else f"{value:.3g}"


def _right(text: str, width: int) -> str:
    return " " * (width - cells(text)) + text
