"""The predicted classes of runs, from their ``predicts.csv``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from legoloop.core.errors import DataError
from legoloop.core.record_files import csv_rows, first_line
from legoloop.core.run_directory import PREDICTIONS
from legoloop.results.reading import Run

if TYPE_CHECKING:
    import numpy as np


def predicted_classes(run: Run) -> Mapping[str, str]:
    """The predicted class of each sample, by the sample's index.

    A class is the number of its logit, or the name of the column. Raises DataError if the run wrote
    no predictions, they cannot be read, or are not logits.
    """
    path = run.directory / PREDICTIONS
    try:
        (_, *columns), *rows = csv_rows(path)
        if not are_logits(run, columns):
            raise DataError(f"{run.name}: {PREDICTIONS} has no logits, so there are no classes")
        if any(len(row) != 1 + len(columns) for row in rows):
            raise ValueError("a row has not the cells of the header")
        index = [row[0] for row in rows]
        classes = class_numbers([[float(cell) for cell in row[1:]] for row in rows])
    except FileNotFoundError:
        raise DataError(f"{run.name}: has no {PREDICTIONS}") from None
    except (OSError, ValueError) as error:
        raise DataError(f"{run.name}: {PREDICTIONS} cannot be read ({first_line(error)})") from None
    names = ["0", "1"] if len(columns) == 1 else [name.removeprefix("logit") for name in columns]
    return dict(zip(index, (names[number] for number in classes), strict=True))


def are_logits(run: Run, columns: Sequence[str]) -> bool:
    """Whether these columns are logits: by their names, or because the configuration says so."""
    is_named_so = all(name.startswith("logit") for name in columns)
    return is_named_so or _written_entry(run) == "logits"


def _written_entry(run: Run) -> Any:
    """The ``key`` of whichever plugin writes the predictions: the one with their path."""
    for name, value in run.config.items():
        if name.endswith(".path") and value == f"${{run_dir}}/{PREDICTIONS}":
            return run.value(f"{name.removesuffix('path')}key")
    return None


def class_numbers(logits: Any) -> np.ndarray[Any, Any]:
    """The argmax of logits, shape (samples, columns); for a single column whether it is positive.

    Returns int numbers, shape (samples,).

    >>> class_numbers([[0.5, 2.0], [1.0, -1.0]]), class_numbers([[0.5], [-0.5]])
    (array([1, 0]), array([1, 0]))
    """
    import numpy as np

    values = np.asarray(logits, dtype=float)
    if not values.size:
        return np.zeros(0, dtype=int)
    return (values[:, 0] > 0).astype(int) if values.shape[1] == 1 else values.argmax(axis=1)
