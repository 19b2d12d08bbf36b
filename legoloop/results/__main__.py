"""The command: ``python -m legoloop.results DIR… [--metric NAME] [--by KEY…] …``."""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from legoloop.core.errors import ArgumentError, DataError
from legoloop.core.output_streams import discard_output
from legoloop.core.text import printable
from legoloop.results import choosing
from legoloop.results.compare import chosen_run, compare
from legoloop.results.formats import formats, with_causes
from legoloop.results.grouping import group_runs
from legoloop.results.page import write_page
from legoloop.results.reading import Found, Run, read_runs
from legoloop.results.table import Table, table_of_groups, table_of_runs

FORMATS = tuple(formats(None))
SAMPLES_SHOWN = 20


def main(arguments: Sequence[str] | None = None) -> None:
    """List runs, or compare two; the exit status is 2 for a wrong argument."""
    given = sys.argv[1:] if arguments is None else arguments
    options = _parser().parse_args(_with_reverse_sort(given))
    try:
        text = _answer(options)
    except (ArgumentError, DataError) as error:
        _note(f"error: {error}")
        sys.exit(2)
    try:
        print(_encodable(text), flush=True)
    except OSError as error:
        discard_output(sys.stdout)
        if not isinstance(error, BrokenPipeError):  # of `| head`
            _note(f"error: the table cannot be written ({error.strerror})")
            sys.exit(1)


def _is_terminal() -> bool:
    return sys.stdout is not None and sys.stdout.isatty()


def _encodable(text: str) -> str:
    """The text without what the terminal's encoding does not know."""
    encoding = sys.stdout.encoding if sys.stdout is not None else None
    return text.encode(encoding or "utf-8", "backslashreplace").decode(encoding or "utf-8")


def _note(line: str) -> None:
    """One line besides the output, whatever names it holds."""
    print(printable(line), file=sys.stderr)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="legoloop-results",
        description="List, group and compare runs and sweeps.",
        allow_abbrev=False,
    )
    add = parser.add_argument
    add(
        "folders",
        nargs="*",
        metavar="DIR",
        help="a run directory, or a folder with run directories inside",
    )
    add(
        "--metric",
        nargs="+",
        action="extend",
        metavar="NAME",
        help="the metrics to show; * matches anything",
    )
    add("--sort", metavar="KEY", help="best first for a metric, else smallest first; -KEY reverses")
    add(
        "--by",
        nargs="+",
        action="extend",
        metavar="KEY",
        help="one row for each value of these keys: mean ± std over the completed runs",
    )
    add(
        "--where",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="only runs that fulfil this; also !=, <, <=, >, >=",
    )
    add("--last", type=_count, metavar="N", help="only the N runs that started last")
    add("--format", choices=FORMATS, default="table")
    add("--compare", nargs=2, metavar="RUN", help="the differences between two runs")
    add("--html", metavar="FILE", help="write a page of the runs, with their curves, to this file")
    return parser


def _count(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text} is not a number of runs")
    return int(text)


def _with_reverse_sort(arguments: Sequence[str]) -> list[str]:
    """``--sort -KEY`` as ``--sort=-KEY``, which is how argparse reads a value with a dash."""
    joined: list[str] = []
    for word in arguments:
        if joined and joined[-1] == "--sort":
            joined[-1] = f"--sort={word}"
        else:
            joined.append(word)
    return joined


def _answer(options: argparse.Namespace) -> str:
    if options.html is not None:
        return _page(options)
    return _compare(options) if options.compare else _list(options)


def _page(options: argparse.Namespace) -> str:
    """Write the page of the runs that --where and --last select."""
    for name in ("by", "compare", "metric", "sort"):
        if getattr(options, name):
            raise ArgumentError(f"--{name}: chosen on the page itself; leave it out with --html")
    if options.format != FORMATS[0]:
        raise ArgumentError(f"--format {options.format}: --html writes a page; give one of the two")
    path = Path(options.html)
    if path.suffix not in (".html", ".htm"):
        raise ArgumentError(f"--html {path}: give a file that ends in .html")
    found = _found(options.folders)
    runs = _select(options, found.runs)
    folders = [Path(folder) for folder in options.folders]
    size = write_page(path, runs, folders, found.problems)
    return f"{path}: {len(runs)} runs, {size / 1000:.0f} kB"


def _list(options: argparse.Namespace) -> str:
    found = _found(options.folders).runs
    runs = _select(options, found)
    metrics = _metrics(options.metric, found)
    table = (
        _group_table(options, runs, metrics) if options.by else _run_table(options, runs, metrics)
    )
    if options.format == "table":
        return with_causes(_formatted(table, "table"), runs)
    return _formatted(table, options.format)


def _metrics(patterns: Sequence[str] | None, found: Sequence[Run]) -> list[str]:
    if patterns:
        return choosing.matching_metrics(patterns, found)
    chosen = choosing.default_metrics(found)
    if others := [tag for tag in choosing.tags(found) if tag not in chosen]:
        _note(f"metrics: {', '.join(chosen)}; others with --metric: {', '.join(others)}")
    return chosen


def _select(options: argparse.Namespace, found: Sequence[Run]) -> Sequence[Run]:
    """The runs that --where and --last select; every key must be known to one of all runs."""
    conditions = [choosing.Condition.parse(text) for text in options.where]
    for condition in conditions:
        choosing.check_key("--where", condition.key, found)
    for key in options.by or ():
        choosing.check_group_key("--by", key, found)
    if options.sort and options.by:
        sort_key = options.sort.removeprefix("-")
        choosing.check_sort_key_of_groups("--sort", sort_key, options.by, found)
    elif options.sort:
        choosing.check_key("--sort", options.sort.removeprefix("-"), found)
    runs = [run for run in found if all(condition.holds(run) for condition in conditions)]
    return runs if options.last is None else choosing.last(options.last, runs)


def _run_table(options: argparse.Namespace, runs: Sequence[Run], metrics: Sequence[str]) -> Table:
    if options.sort:
        runs = choosing.ordered(runs, options.sort, choosing.tags(runs))
    return table_of_runs(runs, metrics)


def _group_table(options: argparse.Namespace, runs: Sequence[Run], metrics: Sequence[str]) -> Table:
    groups = group_runs(runs, options.by)
    if options.sort:
        groups = choosing.ordered(groups, options.sort, choosing.tags(runs))
    return table_of_groups(groups, options.by, metrics)


def _compare(options: argparse.Namespace) -> str:
    runs = {run.name: run for run in _read(options.folders).runs}
    comparison = compare(*(chosen_run(name, runs) for name in options.compare))
    if options.format != "table":
        return _formatted(comparison.table, options.format)
    comparison = comparison.shortened(SAMPLES_SHOWN)
    rows = comparison.table.rows
    lines = [_formatted(comparison.table, "table") if rows else "no differences"]
    return "\n".join(
        [*lines, *(["", *map(printable, comparison.notes)] if comparison.notes else [])]
    )


def _found(folders: Sequence[str]) -> Found:
    """The runs in the folders, of which there is one at least."""
    if not folders:
        raise ArgumentError("no DIR: give a run directory, or a folder with run directories inside")
    return _read(folders)


def _read(folders: Sequence[str]) -> Found:
    found = read_runs(*folders)
    for problem in found.problems:
        _note(f"warning: {problem}")
    return found


def _formatted(table: Table, name: str) -> str:
    width = shutil.get_terminal_size().columns if _is_terminal() else None
    return formats(width)[name](table)


if __name__ == "__main__":
    main()
