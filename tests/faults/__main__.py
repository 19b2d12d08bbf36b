"""``python -m tests.faults [--long] [row ...]``: break runs, and tell what survived."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from dataclasses import asdict

from tests.faults.rows import ROWS
from tests.faults.trials import get_ready


def main() -> None:
    """Print a line of the table as soon as it is known; exit 1 if anything was not survived."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--long", action="store_true", help="try many more of each")
    parser.add_argument("--json", action="store_true", help="tell the outcome as JSON")
    parser.add_argument("rows", nargs="*", metavar="row", help="these alone", choices=[[], *ROWS])
    asked = parser.parse_args()
    get_ready()
    names = asked.rows or list(ROWS)
    found = {}
    if not asked.json:
        print("| fault | passes when | tried | survived | seconds |\n|---|---|---|---|---|")
    for name in names:
        row, began = ROWS[name], time.monotonic()
        tally = found[name] = row.tries(asked.long)
        if not asked.json:
            cells = (row.fault, row.passes_when, tally.tried, tally.survived)
            print("|", *(f"{cell} |" for cell in cells), f"{time.monotonic() - began:.0f} |")
            sys.stdout.flush()
            for problem in tally.problems:
                print(f"  {name}: {problem}", file=sys.stderr, flush=True)
    if asked.json:
        print(json.dumps({name: asdict(tally) for name, tally in found.items()}))
    else:
        print(f"\n{platform.platform()}, {os.cpu_count()} CPUs, Python {platform.python_version()}")
    sys.exit(any(tally.problems for tally in found.values()))


if __name__ == "__main__":
    main()
