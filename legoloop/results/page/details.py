"""What a page shows of a single run: its worst errors and its confusion matrix."""

from __future__ import annotations

import csv
import io
import warnings
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from legoloop.core.errors import DataError
from legoloop.core.record_files import first_line, read_bytes
from legoloop.results.page.columns import shortened
from legoloop.results.reading import Run

MAX_BYTES = 2**22
"""A longer file is not read."""

MAX_PIXELS = 2**22
MAX_CLASSES = 50
MAX_ERRORS = 100

RUN_DIR = "${run_dir}/"


def confusion_of(run: Run) -> dict[str, Any] | None:
    """The names of the classes and the counts, a row a target; None if the run has none.

    Raises DataError if it cannot be read.
    """
    path = _written_by(run, "ConfusionMatrix")
    if path is None:
        return None
    rows = _rows(path)
    if len(rows) < 2 or len(rows) > MAX_CLASSES + 1:
        raise DataError(f"{path.name} has {len(rows) - 1} classes; shown are up to {MAX_CLASSES}")
    names = [shortened(name) for name in rows[0][1:]]
    try:
        counts = [[int(count) for count in row[1:]] for row in rows[1:]]
    except ValueError as error:
        raise DataError(f"{path.name} cannot be read ({error})") from None
    if len(counts) != len(names) or any(len(row) != len(names) for row in counts):
        raise DataError(f"{path.name} is no square table")
    return {"names": names, "counts": counts}


def worst_errors_of(run: Run) -> dict[str, Any] | None:
    """The samples with target and predicted class, and their picture; None if the run has none.

    The picture is a grid of tiles, as ``output.predictions.worst_errors`` draws it, in ``columns``.
    Raises DataError if it cannot be read.
    """
    path = _written_by(run, "WorstErrors")
    if path is None or not path.exists():
        return None
    rows = _rows(path.with_suffix(".csv"))[1:]
    if not 0 < len(rows) <= MAX_ERRORS or any(len(row) != 3 for row in rows):
        raise DataError(f"{path.stem}.csv has no rows of sample, target and predicted class")
    columns = next(number for number in range(1, MAX_ERRORS) if number**2 >= len(rows))
    return {
        "samples": [[shortened(text) for text in row] for row in rows],
        "columns": columns,
        "lines": -(-len(rows) // columns),
        **_picture(path),
    }


def _written_by(run: Run, class_name: str) -> Path | None:
    """The file that a plugin of this class writes; None if there is none in the run directory."""
    for path in _paths(run, class_name):
        inside = (run.directory / path).resolve()
        if inside.is_relative_to(run.directory.resolve()) and inside.exists():
            return inside
    return None


def _paths(run: Run, class_name: str) -> Iterator[str]:
    for key, target in run.config.items():
        if key.endswith("._target_") and str(target).rpartition(".")[2] == class_name:
            path = run.config.get(f"{key.removesuffix('_target_')}path")
            if isinstance(path, str) and path.startswith(RUN_DIR):
                yield path.removeprefix(RUN_DIR)


def _rows(path: Path) -> list[list[str]]:
    try:
        text = read_bytes(path, MAX_BYTES).decode()
        return [row for row in csv.reader(io.StringIO(text, newline="")) if row]
    except (OSError, ValueError, csv.Error) as error:
        raise DataError(f"{path.name} cannot be read ({first_line(error)})") from None


def _picture(path: Path) -> dict[str, Any]:
    """The picture, as WebP where that is smaller, and its size in pixels."""
    from PIL import Image

    try:
        file = read_bytes(path, MAX_BYTES)
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(file), formats=["PNG"]) as image:
                if image.width * image.height > MAX_PIXELS:
                    raise DataError(f"{path.name} has more than {MAX_PIXELS} pixels")
                content = io.BytesIO()
                image.convert("RGB").save(content, "WEBP", quality=60, method=4)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombWarning) as error:
        raise DataError(f"{path.name} cannot be read ({first_line(error)})") from None
    contents = {"png": file, "webp": content.getvalue()}
    kind, shortest = min(contents.items(), key=lambda each: len(each[1]))
    return {
        "picture": f"data:image/{kind};base64,{b64encode(shortest).decode()}",
        "width": image.width,
        "height": image.height,
    }
