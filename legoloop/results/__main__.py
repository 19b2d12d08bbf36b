"""The command: ``python -m legoloop.results [DIR…] [--metric NAME] [--by KEY…] …``."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from legoloop.core.errors import ArgumentError, DataError
from legoloop.core.output_streams import discard_output
from legoloop.core.run_directory import EVALUATIONS
from legoloop.core.text import printable, shorten
from legoloop.results import choosing, removal
from legoloop.results.compare import chosen_run, compare
from legoloop.results.evaluations import with_evaluations
from legoloop.results.formats import formats, terminal_width, with_causes, with_overrides
from legoloop.results.grouping import group_runs
from legoloop.results.mistakes import mistakes_of
from legoloop.results.page import write_page
from legoloop.results.places import read_all, told, usual_folders
from legoloop.results.reading import NOT_BEGUN, Found, Run
from legoloop.results.table import FINAL, Table, table_of_groups, table_of_runs

FORMATS = tuple(formats(None))
SAMPLES_SHOWN = 20

SELECTING = ("where", "last")
GOES_WITH = {
    "html": SELECTING,
    "compare": ("format",),
    "mistakes": ("format",),
    "archive": ("yes",),
    "delete": ("yes",),
    "evaluations": ("metric", "sort", *SELECTING, "format"),
}
"""The options that have a use with each that asks for something else than the list of runs."""

LISTING = ("metric", "sort", "by", *SELECTING, "format")


def main(arguments: Sequence[str] | None = None) -> None:
    """List runs, compare two, remove some …; the exit status is 2 for a wrong argument."""
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
        description="List, group and compare runs and sweeps; put runs aside or delete them.",
        allow_abbrev=False,
    )
    add = parser.add_argument
    add(
        "folders",
        nargs="*",
        metavar="DIR",
        help="a run directory, or a folder with run directories inside; by default the newest "
        "sweep in outputs/ and multirun/, or all runs there",
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
    add(
        "--last",
        type=_count,
        nargs="?",
        const=1,
        metavar="N",
        help="only the N runs that started last, or the last one; without DIR, of all runs",
    )
    add("--format", choices=FORMATS)
    add("--evaluations", action="store_true", help="below each run what was evaluated of it")
    add("--compare", nargs=2, metavar="RUN", help="the differences between two runs")
    add("--mistakes", metavar="RUN", help="the samples whose class was wrong, worst first")
    add("--html", metavar="FILE", help="write a page of the runs, with their curves, to this file")
    add("--archive", nargs="+", metavar="RUN", help="put runs aside, into a folder beside them")
    add("--delete", nargs="+", metavar="RUN", help="delete runs, with all that is in their folders")
    add("--yes", action="store_true", help="archive or delete without asking")
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
    asked = [name for name in GOES_WITH if getattr(options, name)]
    _check_together(options, asked)
    options.format = options.format or FORMATS[0]
    answers = {
        "html": _page,
        "compare": _compare,
        "mistakes": _mistakes,
        "archive": _remove,
        "delete": _remove,
        "evaluations": _list,
    }
    return answers[asked[0]](options) if asked else _list(options)


def _check_together(options: argparse.Namespace, asked: Sequence[str]) -> None:
    """Raises ArgumentError for options of which one leaves the other without a use."""
    if len(asked) > 1:
        raise ArgumentError(f"--{asked[1]}: has no use with --{asked[0]}; give one of the two")
    useful = GOES_WITH[asked[0]] if asked else LISTING
    for name in (*LISTING, "yes"):
        is_given = getattr(options, name) not in (None, [], False)
        if is_given and name not in useful:
            told = f"has no use with --{asked[0]}" if asked else "goes with --archive or --delete"
            raise ArgumentError(f"--{name}: {told}; leave it out")


def _page(options: argparse.Namespace) -> str:
    """Write the page of the runs that --where and --last select."""
    path = Path(options.html)
    if path.suffix not in (".html", ".htm"):
        raise ArgumentError(f"--html {path}: give a file that ends in .html")
    folders = _folders(options)
    found = _read(folders)
    begun = [run for run in found.runs if run.record["status"] != NOT_BEGUN]
    runs = _select(options, begun)
    size = write_page(path, runs, folders, found.problems)
    return f"{path}: {len(runs)} runs, {size / 1000:.0f} kB"


def _list(options: argparse.Namespace) -> str:
    found = _read(_folders(options)).runs
    runs = _select(options, found)
    if options.by:
        table = _group_table(options, runs, _metrics(options.metric, found))
    else:
        runs, table = _run_table(options, runs, found)
    if options.format != FORMATS[0]:
        return _formatted(table, options.format)
    text = with_causes(_formatted(table, options.format), runs)
    return text if options.by else with_overrides(text, table.columns, runs)


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


def _run_table(
    options: argparse.Namespace, runs: Sequence[Run], found: Sequence[Run]
) -> tuple[Sequence[Run], Table]:
    """The rows and their table; with evaluations, what the end of a run and they measure alike."""
    if options.sort:
        runs = choosing.ordered(runs, options.sort, choosing.tags(runs))
    if not options.evaluations:
        return runs, table_of_runs(runs, _metrics(options.metric, found))
    listed = with_evaluations(runs)
    _warn(listed.problems)
    measured = choosing.tags(listed.runs)
    usual = (f"{FINAL}{tag}" for tag in choosing.default_metrics(found))
    patterns = options.metric or [*(tag for tag in usual if tag in measured), f"{FINAL}*"]
    return listed.runs, table_of_runs(listed.runs, choosing.matching_metrics(patterns, listed.runs))


def _group_table(options: argparse.Namespace, runs: Sequence[Run], metrics: Sequence[str]) -> Table:
    groups = group_runs(runs, options.by)
    if options.sort:
        groups = choosing.ordered(groups, options.sort, choosing.tags(runs))
    return table_of_groups(groups, options.by, metrics)


def _compare(options: argparse.Namespace) -> str:
    comparison = compare(*_chosen(options, "compare", options.compare))
    if options.format != "table":
        return _formatted(comparison.table, options.format)
    comparison = comparison.shortened(SAMPLES_SHOWN)
    rows = comparison.table.rows
    lines = [_formatted(comparison.table, "table") if rows else "no differences"]
    return "\n".join(
        [*lines, *(["", *map(printable, comparison.notes)] if comparison.notes else [])]
    )


def _mistakes(options: argparse.Namespace) -> str:
    (run,) = _chosen(options, "mistakes", [options.mistakes])
    found = mistakes_of(run)
    wrong = len(found.table.rows)
    if options.format != FORMATS[0]:
        return _formatted(found.table, options.format)
    lines = [f"{wrong} of {found.total} samples are wrong"]
    if wrong > SAMPLES_SHOWN:
        lines[0] += f"; the worst {SAMPLES_SHOWN}, --format csv lists all"
    shown = found.shortened(SAMPLES_SHOWN)
    return "\n".join([*([_formatted(shown.table, options.format), ""] if wrong else []), *lines])


def _remove(options: argparse.Namespace) -> str:
    """Archive or delete the runs that are named, once a person has agreed."""
    what = "archive" if options.archive else "delete"
    names = dict.fromkeys(options.archive or options.delete)
    chosen = {run.directory.absolute(): run for run in _chosen(options, what, list(names))}
    for directory in chosen:
        removal.check_removable(f"--{what}", directory)
    count = f"{len(chosen)} run" + ("" if len(chosen) == 1 else "s")
    size = sum(map(removal.bytes_in, chosen)) / 1e6
    named = printable(shorten(run.directory for run in chosen.values()))
    if not options.yes and not _agrees(f"{what} {count}, {size:.1f} MB: {named}?", what):
        return "nothing was changed"
    (removal.archive if options.archive else removal.delete)(list(chosen))
    places = shorten(dict.fromkeys(removal.archived_place(run).parent for run in chosen))
    return f"archived: {count}, in {places}" if options.archive else f"deleted: {count}"


def _agrees(question: str, what: str) -> bool:
    """Whether the person at the terminal says yes; raises ArgumentError if there is none."""
    if sys.stdin is None or not sys.stdin.isatty():
        raise ArgumentError(f"--{what}: asks first, and there is no terminal; give --yes")
    print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _chosen(options: argparse.Namespace, what: str, names: Sequence[str]) -> list[Run]:
    """The runs of these names in the folders, or of these directories."""
    are_directories = all(os.path.isdir(name) for name in names)
    folders = [] if are_directories and not options.folders else _folders(options)
    found = [run for run in _read(folders).runs if run.record["status"] != NOT_BEGUN]
    if any(EVALUATIONS in Path(name).parts for name in names):
        found = with_evaluations(found).runs
    runs = {run.name: run for run in found}
    return [chosen_run(name, runs, f"--{what}") for name in names]


def _folders(options: argparse.Namespace) -> list[Path]:
    """Those that were named, or the usual ones of the current folder, which is said."""
    if options.folders:
        return [Path(folder) for folder in options.folders]
    folders = usual_folders(only_newest_sweep=options.last is None)
    _note(told(folders))
    return folders


def _read(folders: Sequence[Path]) -> Found:
    found = read_all(*folders)
    _warn(found.problems)
    return found


def _warn(problems: Sequence[str]) -> None:
    for problem in problems:
        _note(f"warning: {problem}")


def _formatted(table: Table, name: str) -> str:
    return formats(terminal_width())[name](table)


if __name__ == "__main__":
    main()
