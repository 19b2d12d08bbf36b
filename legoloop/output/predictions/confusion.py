"""The confusion matrix, as a table and an image."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from legoloop.core.arguments import require_collected, require_evaluated
from legoloop.core.atomic_files import atomic_write
from legoloop.core.class_labels import is_single, predicted_classes, target_classes
from legoloop.core.errors import DataError
from legoloop.core.on_evaluation import EvaluationHook
from legoloop.core.protocols import Arrays, EvaluationResults
from legoloop.output.images import Picture

Matrix = np.ndarray[Any, Any]
"""Shape (classes, classes), int64: a row for each target class, a column for each predicted one."""

READABLE = 25
"""With more classes than these the image has no text."""


class ConfusionMatrix(EvaluationHook[EvaluationResults]):
    """Writes the confusion matrix of a data set to a CSV file; TensorBoard shows it as an image.

    The file is written when ``acc_plugin`` evaluates: a row for each target class, a column for
    each predicted class. In the image each row is normalized.

    Args:
        path: the CSV file.
        acc_plugin: the evaluation.
        acc_key: name of the data set.
        key: name of the accumulated logits, shape (samples, classes), or (samples,) for two
            classes.
        target: name of the accumulated classes from 0 on, shape (samples,), or of probabilities:
            those of class 1 for a single logit, else one for each class; the likeliest counts.
        class_names: one for each class; None: their numbers.

    Raises:
        ArgumentError: if the evaluation has no such data set.
        DataError: if an array is missing, a target names no class, or there are fewer names than
            classes.

    >>> import tempfile
    >>> class Evaluated:
    ...     when, datasets = "epoch_end", ("val",)
    ...     def collect(self, name):
    ...         return {"logits": np.array([-1.0, 2.0, 3.0]), "target": np.array([0, 0, 1])}
    >>> path = Path(tempfile.mkdtemp()) / "confusion.csv"
    >>> confusion = ConfusionMatrix(path, Evaluated(), "val", class_names=["cat", "dog"])
    >>> confusion.epoch_end()
    >>> print(path.read_text().strip())
    target,cat,dog
    cat,1,1
    dog,0,1
    >>> list(confusion.images())
    ['confusion/val']
    """

    only_looks = True

    def __init__(
        self,
        path: str | Path,
        acc_plugin: EvaluationResults,
        acc_key: str,
        key: str = "logits",
        target: str = "target",
        class_names: Sequence[str] | None = None,
    ) -> None:
        require_evaluated(acc_plugin.datasets, acc_key)
        super().__init__(acc_plugin)
        self.path = Path(path)
        self.acc_key = acc_key
        self.key = key
        self.target = target
        self.class_names = class_names
        self._matrix: Matrix | None = None

    def images(self) -> dict[str, Picture]:
        """The image for the current weights; none before an evaluation."""
        if self._matrix is None:
            return {}
        tag = f"confusion/{self.acc_key}"
        return {tag: matrix_picture(self._matrix, self._names(len(self._matrix)))}

    def reset(self) -> None:
        self._matrix = None

    def compute(self) -> None:
        """Count, and write the file."""
        accumulated = self.acc_plugin.collect(self.acc_key)
        for name in (self.key, self.target):
            require_collected(accumulated, name, whose=self.path.name)
        matrix = confusion_matrix(accumulated, self.key, self.target)
        names = self._names(len(matrix))
        self._matrix = matrix
        with atomic_write(self.path) as temporary, temporary.open("w", newline="") as file:
            table = csv.writer(file, lineterminator="\n")
            table.writerow([self.target, *names])
            table.writerows([name, *row] for name, row in zip(names, matrix.tolist(), strict=True))

    def _names(self, classes: int) -> list[str]:
        names = list(map(str, range(classes) if self.class_names is None else self.class_names))
        if len(names) < classes:
            raise DataError(f"{self.path.name}: {len(names)} class_names for {classes} classes")
        return names[:classes]


def confusion_matrix(accumulated: Arrays, key: str = "logits", target: str = "target") -> Matrix:
    """How many samples of each target class (row) were predicted as each class (column).

    Args:
        accumulated: arrays by name.
        key: the logits, shape (samples, classes), or (samples,) for two classes.
        target: the classes from 0 on, shape (samples,), or probabilities of them.

    Raises DataError for a target that names no class.

    >>> logits = np.array([[2.0, 0.0], [0.0, 2.0], [3.0, 0.0]])
    >>> confusion_matrix({"logits": logits, "target": np.array([0, 1, 1])}).tolist()
    [[1, 0], [1, 1]]
    """
    logits = accumulated[key]
    targets = target_classes(accumulated[target], logits, target)
    predicted = predicted_classes(logits)
    known = 2 if is_single(logits) else logits.shape[1]
    classes = max(known, int(targets.max(initial=0)) + 1)
    counts = np.bincount(targets * classes + predicted, minlength=classes * classes)
    return counts.reshape(classes, classes).astype(np.int64)


def matrix_picture(matrix: Matrix, names: Sequence[str]) -> Picture:
    """The matrix as an image: the larger a value's share of its row, the darker its square.

    >>> matrix_picture(np.eye(3, dtype=int), ["a", "b", "c"]).shape
    (176, 176, 3)
    """
    from PIL import Image, ImageDraw

    classes = len(matrix)
    has_text = classes <= READABLE
    cell = 40 if has_text else max(1, 1000 // classes)
    margin = 56 if has_text else 0
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    white, blue = np.array([255, 255, 255]), np.array([8, 48, 107])
    colours = (white + shares[:, :, None] * (blue - white)).astype(np.uint8)
    squares = colours.repeat(cell, axis=0).repeat(cell, axis=1)
    picture = np.full((margin + classes * cell, margin + classes * cell, 3), 255, np.uint8)
    picture[margin:, margin:] = squares
    if not has_text:
        return picture
    image = Image.fromarray(picture)
    draw = ImageDraw.Draw(image)
    centres = [margin + cell * number + cell // 2 for number in range(classes)]
    for centre, name in zip(centres, names, strict=True):
        draw.text((centre, margin - 4), name[:6], fill="black", anchor="md")
        draw.text((margin - 4, centre), name[:8], fill="black", anchor="rm")
    for (row, column), count in np.ndenumerate(matrix):
        ink = "white" if shares[row, column] > 0.5 else "black"
        draw.text((centres[column], centres[row]), str(count), fill=ink, anchor="mm")
    drawn: Picture = np.asarray(image)
    return drawn
