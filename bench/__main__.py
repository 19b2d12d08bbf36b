"""All that is measured, as markdown: ``python -m bench``, or ``python -m bench step mnist``.

Each part is a process of its own, ``python -m bench.<part>``. Options that are not listed here go
to the parts that are named: ``python -m bench mnist --seeds 5``.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path

import torch

from bench.rounds import machine

ROOT = Path(__file__).parent.parent
PLOT = ROOT / "docs" / "growth.svg"
TINY = {"start_up": ("--rounds", "1"), "job_cost": ("--rounds", "1", "--jobs", "10")}
PARTS = (
    "step",
    "mnist",
    "ranks",
    "members",
    "growth",
    "start_up",
    "job_cost",
    "memory",
    "listing",
    "page",
    "before",
    "gpu",
)


def measured(part: str, options: Sequence[str]) -> str:
    """What a part prints, under a line that says where and when."""
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    printed = subprocess.run(
        [sys.executable, "-m", f"bench.{part}", *options],
        check=True,
        env={**os.environ, "PYTHONPATH": path},
        stdout=subprocess.PIPE,
        text=True,
    ).stdout
    return f"{machine()}; {date.today()}.\n\n{printed.strip()}"


def put_into(page: str, part: str, text: str) -> str:
    """The page with the text between the two marks of the part, in place of what was there.

    >>> print(put_into("<!-- step -->old<!-- end of step -->", "step", "new"))
    <!-- step -->
    new
    <!-- end of step -->
    """
    begin, end = f"<!-- {part} -->", f"<!-- end of {part} -->"
    if page.count(begin) != 1 or page.count(end) != 1:
        raise ValueError(f"the page has no place for {part}: {begin} … {end}")
    new = f"{begin}\n{text}\n{end}"
    return re.sub(f"{begin}.*?{end}", lambda _: new, page, flags=re.DOTALL)


def options_of(part: str, tiny: bool, writes: bool, others: Sequence[str]) -> Iterator[str]:
    """What a part is told."""
    if tiny:
        yield from TINY.get(part, ("--tiny",))
    if part == "growth" and writes:
        yield from ("--plot", str(PLOT))
    yield from others


def main() -> None:
    """Print the parts, and write them into a page."""
    parser = argparse.ArgumentParser(description=__doc__)
    there = PARTS if torch.cuda.is_available() else PARTS[:-1]
    parser.add_argument("parts", nargs="*", default=there, metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--write", type=Path, metavar="PAGE", help="also between its marks")
    parser.add_argument("--tiny", action="store_true", help="only to see that it works")
    asked, others = parser.parse_known_args()
    if unknown := set(asked.parts) - set(PARTS):
        parser.error(f"no part {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    if others and asked.parts is there:
        parser.error(f"name the parts that {' '.join(others)} is for")
    failed = []
    for part in asked.parts:
        print(f"# {part}", file=sys.stderr, flush=True)
        options = options_of(part, asked.tiny, asked.write is not None, others)
        try:
            text = measured(part, list(options))
        except subprocess.CalledProcessError:
            failed.append(part)
            continue
        print(f"## {part}\n\n{text}\n", flush=True)
        if asked.write:
            asked.write.write_text(put_into(asked.write.read_text(), part, text))
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
