"""Puts the page together: one file of HTML, with its styles, its scripts and its content."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping, Sequence
from functools import cache
from hashlib import sha256
from importlib.resources import files
from pathlib import Path
from typing import Any

from legoloop.core.atomic_files import atomic_write
from legoloop.results.page.content import page_content
from legoloop.results.page.packing import packed, packed_json
from legoloop.results.reading import Run

STYLES = ("uplot/uPlot.min.css", "style.css")
SCRIPTS = (
    "uplot/uPlot.iife.min.js",
    "dom.js",
    "numbers.js",
    "data.js",
    "where.js",
    "state.js",
    "colours.js",
    "lines.js",
    "layers.js",
    "chart.js",
    "keys.js",
    "table.js",
    "details.js",
    "page.js",
)
"""In this order, as one module."""

START, PAGE = "start.js", "page.html"


def write_page(
    path: Path, runs: Sequence[Run], folders: Sequence[Path], problems: Sequence[str] = ()
) -> int:
    """Write the page of some runs, a file that needs nothing else and no network.

    Args:
        path: the file.
        runs: the runs, in the order in which they are listed.
        folders: that were searched for them.
        problems: a sentence for each run directory that could not be read.

    Returns:
        The size of the file in bytes.

    Raises:
        DataError: if it cannot be written.

    >>> import tempfile
    >>> from legoloop.results.reading import read_runs
    >>> from legoloop.state.run_record import RunRecord
    >>> folder = Path(tempfile.mkdtemp())
    >>> record = RunRecord.start(folder / "0", seed=0, overrides=["seed=0"])
    >>> record.finish("COMPLETED", final={"val/accuracy": 0.5})
    >>> page = folder / "results.html"
    >>> write_page(page, read_runs(folder).runs, [folder]) == page.stat().st_size
    True
    """
    content = page_content(runs, folders, problems, len(document({}).encode()))
    encoded = document(content).encode()
    with atomic_write(path) as draft:
        draft.write_bytes(encoded)
    return len(encoded)


def document(content: Mapping[str, Any], connects: bool = False) -> str:
    """The page with this content; whether it may ask the server that it came from.

    Code and content are packed, which makes a small page of them, and leaves no text of a run that
    a parser of HTML could take for markup.

    >>> "alert" in document({"title": "</script><script>alert(1)</script>"})
    False
    """
    starts = asset(START).strip()
    return _filled(
        {
            "policy": content_policy(starts, connects),
            "licence": asset("uplot/LICENSE").strip(),
            "style": _joined(STYLES),
            "content": packed_json(content),
            "code": _packed_code(),
            "start": starts,
        }
    )


def content_policy(script: str, connects: bool) -> str:
    """What the page may do: run its own script and what that unpacks, and nothing else."""
    digest = b64encode(sha256(script.encode()).digest()).decode()
    allowed = [
        "default-src 'none'",
        f"script-src 'sha256-{digest}' blob:",
        "style-src 'unsafe-inline'",
        "img-src data:",
        "base-uri 'none'",
        "form-action 'none'",
    ]
    return "; ".join([*allowed, "connect-src 'self'"] if connects else allowed)


def _filled(parts: Mapping[str, str]) -> str:
    """The page with each ``{{name}}`` replaced, once: what is put in is not searched again."""
    first, *others = asset(PAGE).split("{{")
    pieces = [first]
    for other in others:
        name, _, rest = other.partition("}}")
        pieces += [parts[name], rest]
    return "".join(pieces)


def _joined(names: Sequence[str]) -> str:
    return "\n".join(asset(name).strip() for name in names)


@cache
def _packed_code() -> str:
    return packed(_joined(SCRIPTS).encode())


@cache
def asset(name: str) -> str:
    """A file of ``assets/``."""
    return (files(__package__) / "assets" / name).read_text(encoding="utf-8")
