"""What runs predicted, and what was right, from ``predicts.csv`` and ``targets.csv``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from legoloop.core.errors import DataError
from legoloop.core.record_files import csv_rows, first_line
from legoloop.core.run_directory import PREDICTIONS, TARGETS
from legoloop.results.reading import Run

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Predicted:
    """The logits of a run, in the order of ``predicts.csv``.

    Args:
        samples: what identifies each sample.
        names: of the classes: the number of the logit, or the name of the column.
        logits: shape (samples, columns), float64.
        classes: the number of the predicted class of each, shape (samples,).
    """

    samples: Sequence[str]
    names: Sequence[str]
    logits: Array
    classes: Array

    def name(self, number: int) -> str:
        """The name of a class; its number, for one that has no logit."""
        return self.names[number] if 0 <= number < len(self.names) else str(number)


def read_predicted(run: Run) -> Predicted:
    """The logits of a run.

    Raises DataError if the run wrote no predictions, they cannot be read, or are not logits.
    """
    import numpy as np

    path = run.directory / PREDICTIONS
    try:
        (_, *columns), *rows = csv_rows(path)
        if not are_logits(run, columns):
            raise DataError(f"{run.name}: {PREDICTIONS} has no logits, so there are no classes")
        if any(len(row) != 1 + len(columns) for row in rows):
            raise ValueError("a row has not the cells of the header")
        logits = [[float(cell) if cell else float("nan") for cell in row[1:]] for row in rows]
    except FileNotFoundError:
        raise DataError(f"{run.name}: has no {PREDICTIONS}") from None
    except (OSError, ValueError) as error:
        raise DataError(f"{run.name}: {PREDICTIONS} cannot be read ({first_line(error)})") from None
    names = ["0", "1"] if len(columns) == 1 else [name.removeprefix("logit") for name in columns]
    values = np.asarray(logits, dtype=float).reshape(len(rows), len(columns))
    return Predicted([row[0] for row in rows], names, values, class_numbers(values))


def predicted_classes(run: Run) -> Mapping[str, str]:
    """The name of the predicted class of each sample, by the sample's index.

    Raises DataError if the run wrote no predictions, they cannot be read, or are not logits.
    """
    found = read_predicted(run)
    names = (found.names[number] for number in found.classes)
    return dict(zip(found.samples, names, strict=True))


def target_columns(run: Run) -> tuple[list[str], Mapping[str, list[str]]] | None:
    """The names of the columns of ``targets.csv``, and their cells by sample; None: there is none.

    Raises DataError if it cannot be read.
    """
    try:
        (_, *columns), *rows = csv_rows(run.directory / TARGETS)
        if not columns or any(len(row) != 1 + len(columns) for row in rows):
            raise ValueError("a row has not the cells of the header")
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        raise DataError(f"{run.name}: {TARGETS} cannot be read ({first_line(error)})") from None
    return columns, {sample: cells for sample, *cells in rows}


def read_target_classes(run: Run, predicted: Predicted) -> Mapping[str, int] | None:
    """The class that is right for each sample, by the sample's index; None: it is not known.

    Raises DataError for targets that cannot be read, or are no classes.
    """
    import numpy as np

    from legoloop.core.class_labels import target_classes

    found = target_columns(run)
    if found is None:
        return None
    _, cells = found
    rows = [n for n, sample in enumerate(predicted.samples) if sample in cells]
    samples = [predicted.samples[row] for row in rows]
    if not samples:
        return {}
    try:
        values = np.array([[float(cell) for cell in cells[sample]] for sample in samples])
        values = values[:, 0] if values.ndim == 2 and values.shape[1] == 1 else values
        numbers = target_classes(values, predicted.logits[np.array(rows, dtype=int)], TARGETS)
    except (ValueError, OverflowError) as error:
        raise DataError(f"{run.name}: {TARGETS} has no classes ({first_line(error)})") from None
    return dict(zip(samples, numbers.tolist(), strict=True))


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


def class_numbers(logits: Any) -> Array:
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
