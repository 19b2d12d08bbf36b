"""The misclassified samples with the largest margin, as an image grid and a table."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from heapq import nlargest
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from legoloop.core.arguments import at_least, require_evaluated
from legoloop.core.atomic_files import atomic_write
from legoloop.core.class_labels import is_single, predicted_classes, target_classes
from legoloop.core.errors import DataError
from legoloop.core.on_evaluation import EvaluationHook
from legoloop.core.protocols import Arrays, StreamingEvaluation
from legoloop.output.images import Picture, png

TILE, CAPTION = 72, 14
"""In pixels: the smallest side of an image, and the height of the text below it."""


class WorstErrors(EvaluationHook[StreamingEvaluation]):
    """Writes the samples that the model is most wrong about to an image grid and a CSV table.

    Those are the misclassified samples whose logit of the predicted class is the farthest above
    that of the target. It makes a pass of its own over the data set, when ``acc_plugin`` evaluates.
    The image is in TensorBoard too.

    Args:
        path: the image, a ``.png``; the table has the same name and ``.csv``, with the columns
            ``index``, target and predicted.
        acc_plugin: the evaluation.
        acc_key: name of the data set.
        count: the number of samples to show, at most.
        image: entry of the batches with the images, shape (samples, channels, height, width) or
            (samples, height, width).
        key: entry of the outputs with the logits, shape (samples, classes), or (samples,) for two
            classes.
        target: entry of the batches with the classes from 0 on, shape (samples,), or with
            probabilities: of class 1 for a single logit, else of each class; the likeliest counts.
        index: entry of the batches that identifies samples, shape (samples,).

    Raises:
        ArgumentError: if the evaluation has no such data set, or ``count`` is less than 1.
        DataError: if an entry is missing, a target names no class, or ``image`` has another shape.

    >>> import tempfile
    >>> class Evaluated:
    ...     when, datasets = "epoch_end", ("val",)
    ...     def iterate(self, name, keys):
    ...         values = {"image": np.random.rand(2, 1, 8, 8), "logits": np.array([-1.0, 2.0]),
    ...                   "target": np.array([0, 0]), "idx": np.array([7, 3])}
    ...         yield {key: values[key] for key in keys}
    >>> path = Path(tempfile.mkdtemp()) / "worst_errors.png"
    >>> WorstErrors(path, Evaluated(), "val").epoch_end()
    >>> print(path.with_suffix(".csv").read_text().strip())
    idx,target,predicted
    3,0,1
    """

    only_looks = True

    def __init__(
        self,
        path: str | Path,
        acc_plugin: StreamingEvaluation,
        acc_key: str,
        count: int = 16,
        image: str = "image",
        key: str = "logits",
        target: str = "target",
        index: str = "idx",
    ) -> None:
        at_least(1, count=count)
        require_evaluated(acc_plugin.datasets, acc_key)
        super().__init__(acc_plugin)
        self.path = Path(path)
        self.acc_key = acc_key
        self.count = count
        self.image = image
        self.key = key
        self.target = target
        self.index = index
        self._picture: Picture | None = None

    def images(self) -> dict[str, Picture]:
        """The image grid for the current weights; none before an evaluation, or without errors."""
        return {} if self._picture is None else {f"worst_errors/{self.acc_key}": self._picture}

    def reset(self) -> None:
        self._picture = None

    def compute(self) -> None:
        """Evaluate, and write both files."""
        keys = [self.image, self.key, self.target, self.index]
        with closing(self.acc_plugin.iterate(self.acc_key, keys)) as batches:  # type: ignore[type-var]
            errors = chain.from_iterable(self._errors_in(batch) for batch in batches)
            worst = nlargest(self.count, errors, key=lambda error: error.margin)
        with atomic_write(self.path.with_suffix(".csv")) as temporary, temporary.open("w") as file:
            table = csv.writer(file, lineterminator="\n")
            table.writerow([self.index, self.target, "predicted"])
            table.writerows([error.index, error.target, error.predicted] for error in worst)
        self._picture = image_grid(worst) if worst else None
        if self._picture is None:
            self.path.unlink(missing_ok=True)
        else:
            with atomic_write(self.path) as temporary:
                temporary.write_bytes(png(self._picture))

    def _errors_in(self, batch: Arrays) -> Iterator[ClassificationError]:
        images, logits = batch[self.image], batch[self.key]
        if images.ndim not in (3, 4):
            raise DataError(
                f"'{self.image}' has the shape {images.shape}; images have the shape (samples, "
                "channels, height, width) or (samples, height, width)"
            )
        targets = target_classes(batch[self.target], logits, self.target)
        predicted = predicted_classes(logits)
        rows = np.flatnonzero(predicted != targets)
        margins = np.nan_to_num(_margins(logits, predicted, targets), nan=np.inf)
        for row in rows:
            yield ClassificationError(
                float(margins[row]),
                np.array(images[row]),
                batch[self.index][row],
                int(targets[row]),
                int(predicted[row]),
            )


@dataclass(frozen=True)
class ClassificationError:
    """A misclassified sample; ``margin`` is by how much its logit exceeds that of the target."""

    margin: float
    image: np.ndarray[Any, Any]
    index: Any
    target: int
    predicted: int


def image_grid(errors: Sequence[ClassificationError]) -> Picture:
    """The images in a grid, each with its target and the predicted class.

    >>> error = ClassificationError(1.0, np.zeros((1, 8, 8)), index=7, target=4, predicted=9)
    >>> image_grid([error] * 3).shape
    (172, 144, 3)
    """
    from PIL import Image, ImageDraw

    tiles = [_tile(error.image) for error in errors]
    height, width = (max(tile.shape[side] for tile in tiles) for side in (0, 1))
    columns = int(np.ceil(np.sqrt(len(tiles))))
    rows = -(-len(tiles) // columns)
    page = Image.new("RGB", (columns * width, rows * (height + CAPTION)), "white")
    draw = ImageDraw.Draw(page)
    for number, (tile, error) in enumerate(zip(tiles, errors, strict=True)):
        left, top = number % columns * width, number // columns * (height + CAPTION)
        page.paste(Image.fromarray(tile), (left, top))
        caption = f"{error.target} as {error.predicted}"
        draw.text((left + width // 2, top + height), caption, fill="black", anchor="ma")
    grid: Picture = np.asarray(page)
    return grid


def _tile(image: np.ndarray[Any, Any]) -> Picture:
    """The image as RGB, enlarged; its smallest and largest value become black and white."""
    pixels = image.astype(np.float64)
    planes = pixels if pixels.ndim == 3 else pixels[None]
    colours = np.nan_to_num(planes[:3] if len(planes) >= 3 else planes[:1].repeat(3, axis=0))
    least, most = colours.min(), colours.max()
    scaled = (colours - least) / (most - least if most > least else 1.0) * 255
    times = -(-TILE // min(scaled.shape[1:]))
    shown = scaled.round().astype(np.uint8).transpose(1, 2, 0)
    return np.asarray(shown.repeat(times, axis=0).repeat(times, axis=1))


def _margins(
    logits: np.ndarray[Any, Any], predicted: np.ndarray[Any, Any], targets: np.ndarray[Any, Any]
) -> np.ndarray[Any, Any]:
    if is_single(logits):
        return np.abs(logits.reshape(-1).astype(np.float64))
    rows = np.arange(len(logits))
    known = np.minimum(targets, logits.shape[1] - 1)
    margins: np.ndarray[Any, Any] = logits[rows, predicted].astype(np.float64) - logits[rows, known]
    return margins
