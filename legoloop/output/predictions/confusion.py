"""Which classes are taken for which."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from legoloop.core.arguments import require_collected, require_evaluated
from legoloop.core.atomic_files import atomic_write
from legoloop.core.errors import DataError
from legoloop.core.on_evaluation import EvaluationHook
from legoloop.core.protocols import Arrays, EvaluationResults
from legoloop.output.images import Picture
from legoloop.output.predictions.classes import is_single, predicted_classes

Matrix = np.ndarray[Any, Any]
"""(classes, classes) int64: a row a class that samples are of, a column one they are taken for."""

READABLE = 25
"""With more classes than these the picture has colours alone."""


class ConfusionMatrix(EvaluationHook[EvaluationResults]):
    """Counts which class is taken for which, in a CSV file; it has a picture for TensorBoard.

    ``acc_plugin`` evaluates the data set named ``acc_key``, and says by ``at`` when: then the file
    is written, with a row a class and a column a class that was predicted. ``key`` is the
    accumulated array of logits, (samples, classes), or (samples,) for two classes; ``target`` that
    of the classes, (samples,) from 0 on. ``names`` are those of the classes, if not their numbers.
    In the picture a row's colours are its counts' shares.

    Raises ArgumentError if the evaluation has no such data set, DataError if an array is missing,
    or if there are fewer names than classes.

    >>> import tempfile
    >>> class Evaluated:
    ...     when, datasets = "epoch_end", ("val",)
    ...     def collect(self, name):
    ...         return {"logits": np.array([-1.0, 2.0, 3.0]), "target": np.array([0, 0, 1])}
    >>> path = Path(tempfile.mkdtemp()) / "confusion.csv"
    >>> confusion = ConfusionMatrix(path, Evaluated(), "val", names=["cat", "dog"])
    >>> confusion.epoch_end()
    >>> print(path.read_text().strip())
    target,cat,dog
    cat,1,1
    dog,0,1
    >>> list(confusion.images())
    ['confusion/val']
    """

    def __init__(
        self,
        path: str | Path,
        acc_plugin: EvaluationResults,
        acc_key: str,
        key: str = "logits",
        target: str = "target",
        names: Sequence[str] | None = None,
    ) -> None:
        require_evaluated(acc_plugin.datasets, acc_key)
        super().__init__(acc_plugin)
        self.path = Path(path)
        self.acc_key = acc_key
        self.key = key
        self.target = target
        self.names = names
        self._matrix: Matrix | None = None

    def images(self) -> dict[str, Picture]:
        """The picture of what was counted with the weights as they are."""
        if self._matrix is None:
            return {}
        tag = f"confusion/{self.acc_key}"
        return {tag: matrix_picture(self._matrix, self._names(len(self._matrix)))}

    def reset(self) -> None:
        """Nothing was counted with the weights to come."""
        self._matrix = None

    def compute(self) -> None:
        """Count, and write the file."""
        accumulated = self.acc_plugin.collect(self.acc_key)
        for name in (self.key, self.target):
            require_collected(accumulated, name, whose=self.path.name)
        self._matrix = confusion_matrix(accumulated, self.key, self.target)
        names = self._names(len(self._matrix))
        with atomic_write(self.path) as draft, draft.open("w", newline="") as file:
            table = csv.writer(file, lineterminator="\n")
            table.writerow([self.target, *names])
            table.writerows(
                [name, *row] for name, row in zip(names, self._matrix.tolist(), strict=True)
            )

    def _names(self, classes: int) -> list[str]:
        names = list(map(str, range(classes) if self.names is None else self.names))
        if len(names) < classes:
            raise DataError(f"{self.path.name}: {len(names)} names for {classes} classes")
        return names[:classes]


def confusion_matrix(accumulated: Arrays, key: str = "logits", target: str = "target") -> Matrix:
    """How many samples of a class, its row, are taken for a class, its column.

    The array of ``key`` is (samples, classes), or (samples,) of two classes, that of ``target``
    (samples,) from 0 on.

    >>> logits = np.array([[2.0, 0.0], [0.0, 2.0], [3.0, 0.0]])
    >>> confusion_matrix({"logits": logits, "target": np.array([0, 1, 1])}).tolist()
    [[1, 0], [1, 1]]
    """
    logits, targets = accumulated[key], accumulated[target].reshape(-1).astype(np.int64)
    predicted = predicted_classes(logits)
    known = 2 if is_single(logits) else logits.shape[1]
    classes = max(known, int(targets.max(initial=0)) + 1)
    places = np.bincount(targets * classes + predicted, minlength=classes * classes)
    return places.reshape(classes, classes).astype(np.int64)


def matrix_picture(matrix: Matrix, names: Sequence[str]) -> Picture:
    """A square a pair of classes, the darker the more of its row it has.

    >>> matrix_picture(np.eye(3, dtype=int), ["a", "b", "c"]).shape
    (176, 176, 3)
    """
    from PIL import Image, ImageDraw

    classes = len(matrix)
    has_words = classes <= READABLE
    cell = 40 if has_words else max(1, 1000 // classes)
    margin = 56 if has_words else 0
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    white, blue = np.array([255, 255, 255]), np.array([8, 48, 107])
    colours = (white + shares[:, :, None] * (blue - white)).astype(np.uint8)
    squares = colours.repeat(cell, axis=0).repeat(cell, axis=1)
    picture = np.full((margin + classes * cell, margin + classes * cell, 3), 255, np.uint8)
    picture[margin:, margin:] = squares
    if not has_words:
        return picture
    image = Image.fromarray(picture)
    draw = ImageDraw.Draw(image)
    centres = [margin + cell * number + cell // 2 for number in range(classes)]
    for at, name in zip(centres, names, strict=True):
        draw.text((at, margin - 4), name[:6], fill="black", anchor="md")
        draw.text((margin - 4, at), name[:8], fill="black", anchor="rm")
    for (row, column), count in np.ndenumerate(matrix):
        ink = "white" if shares[row, column] > 0.5 else "black"
        draw.text((centres[column], centres[row]), str(count), fill=ink, anchor="mm")
    drawn: Picture = np.asarray(image)
    return drawn
