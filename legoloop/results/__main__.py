"""The command: ``python -m legoloop.results DIR… [--metric NAME] [--by KEY…] …``."""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Sequence

from legoloop.core.errors import ArgumentError
from legoloop.results import choosing
from legoloop.results.compare import chosen_run, compare
from legoloop.results.formats import formats, with_causes
from legoloop.results.grouping import grouped
from legoloop.results.reading import Run, read_runs
from legoloop.results.table import Table, table_of_groups, table_of_runs

FORMATS = tuple(formats(None))
SAMPLES_SHOWN = 20


def main(arguments: Sequence[str] | None = None) -> None:
    """List runs, or compare two; the exit status is 2 if what was asked for is not there."""
    given = sys.argv[1:] if arguments is None else arguments
    asked = _parser().parse_args(_with_turned_sort(given))
    try:
        print(_compared(asked) if asked.compare else _listed(asked), flush=True)
    except ArgumentError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except BrokenPipeError:  # of `| head`
        sys.stderr.close()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="legoloop-results",
        description="What many runs left behind, side by side.",
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("folders", nargs="*", metavar="DIR", help="a run directory, or a folder with some inside")
    add(
        "--metric",
        nargs="+",
        action="extend",
        metavar="NAME",
        help="the metrics to show; * stands for anything",
    )
    add("--sort", metavar="KEY", help="best first for a metric, else smallest; -KEY turns it round")
    add(
        "--by",
        nargs="+",
        action="extend",
        metavar="KEY",
        help="a row for each value of these; mean ± std over the completed runs of the rest",
    )
    add(
        "--where",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="only runs for which this holds; also !=, <, <=, >, >=",
    )
    add("--last", type=_count, metavar="N", help="only the N runs that began last")
    add("--format", choices=FORMATS, default="table")
    add("--compare", nargs=2, metavar="RUN", help="what differs between two runs")
    return parser


def _count(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text} is not a number of runs")
    return int(text)


def _with_turned_sort(arguments: Sequence[str]) -> list[str]:
    """``--sort -KEY`` as ``--sort=-KEY``, which is how argparse reads a value with a dash."""
    joined: list[str] = []
    for word in arguments:
        if joined and joined[-1] == "--sort":
            joined[-1] = f"--sort={word}"
        else:
            joined.append(word)
    return joined


def _listed(asked: argparse.Namespace) -> str:
    if not asked.folders:
        raise ArgumentError("name a run directory, or a folder with some inside: DIR")
    found = _read(asked.folders)
    runs = _chosen(asked, found)
    metrics = _metrics(asked.metric, found)
    table = _grouped(asked, runs, metrics) if asked.by else _in_order(asked, runs, metrics)
    if asked.format == "table":
        return with_causes(_written(table, "table"), runs)
    return _written(table, asked.format)


def _metrics(asked: Sequence[str] | None, found: Sequence[Run]) -> list[str]:
    if asked:
        return choosing.named_metrics(asked, found)
    chosen = choosing.usual_metrics(found)
    if others := [tag for tag in choosing.tags(found) if tag not in chosen]:
        print(
            f"metrics: {', '.join(chosen)}; others with --metric: {', '.join(others)}",
            file=sys.stderr,
        )
    return chosen


def _chosen(asked: argparse.Namespace, found: Sequence[Run]) -> Sequence[Run]:
    """The runs that --where and --last leave; every key is looked for in all that were found."""
    conditions = [choosing.Condition.read(text) for text in asked.where]
    for condition in conditions:
        choosing.refuse_unknown("--where", condition.key, found)
    for key in asked.by or ():
        choosing.refuse_unknown_setting("--by", key, found)
    if asked.sort and asked.by:
        choosing.refuse_unknown_of_groups("--sort", asked.sort.removeprefix("-"), asked.by, found)
    elif asked.sort:
        choosing.refuse_unknown("--sort", asked.sort.removeprefix("-"), found)
    runs = [run for run in found if all(condition.holds(run) for condition in conditions)]
    return runs if asked.last is None else choosing.last(asked.last, runs)


def _in_order(asked: argparse.Namespace, runs: Sequence[Run], metrics: Sequence[str]) -> Table:
    if asked.sort:
        runs = choosing.ordered(runs, asked.sort, choosing.tags(runs))
    return table_of_runs(runs, metrics)


def _grouped(asked: argparse.Namespace, runs: Sequence[Run], metrics: Sequence[str]) -> Table:
    groups = grouped(runs, asked.by)
    if asked.sort:
        groups = choosing.ordered(groups, asked.sort, choosing.tags(runs))
    return table_of_groups(groups, asked.by, metrics)


def _compared(asked: argparse.Namespace) -> str:
    runs = {run.name: run for run in _read(asked.folders)}
    found = compare(*(chosen_run(name, runs) for name in asked.compare))
    if asked.format != "table":
        return _written(found.table, asked.format)
    found = found.shortened(SAMPLES_SHOWN)
    shown = _written(found.table, "table") if found.table.rows else "nothing differs"
    return "\n".join([shown, *(["", *found.notes] if found.notes else [])])


def _read(folders: Sequence[str]) -> list[Run]:
    found = read_runs(*folders)
    for problem in found.problems:
        print(f"warning: {problem}", file=sys.stderr)
    return found.runs


def _written(table: Table, name: str) -> str:
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    return formats(width)[name](table)


if __name__ == "__main__":
    main()
