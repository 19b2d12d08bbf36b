"""The samples that a model is most wrong about, as pictures."""

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
from legoloop.core.errors import DataError
from legoloop.core.on_evaluation import EvaluationHook
from legoloop.core.protocols import Arrays, StreamingEvaluation
from legoloop.output.images import Picture, png
from legoloop.output.predictions.classes import is_single, predicted_classes

TILE, CAPTION = 72, 14
"""In pixels: a picture is at least so high and wide, what stands below it so high."""


class WorstErrors(EvaluationHook[StreamingEvaluation]):
    """Shows the samples that the model is most wrong about: a picture, and a CSV file beside it.

    ``acc_plugin`` evaluates the data set named ``acc_key``, and says by ``at`` when. A pass of its
    own over it keeps the ``number`` of mistakes at which the logit of the class that was predicted
    is the farthest above that of the right one. ``path`` is the picture, a ``.png``, the table with
    ``index``, target and predicted class has its name and ``.csv``. The entries of the batches:
    ``image``, (samples, channels, height, width) or (samples, height, width); ``key``, the logits,
    (samples, classes), or (samples,) for two classes; ``target``, (samples,) from 0 on.

    Raises ArgumentError if the evaluation has no such data set or ``number`` is less than 1,
    DataError for an entry that is missing or holds no images.

    >>> import tempfile
    >>> class Evaluated:
    ...     when, datasets = "epoch_end", ("val",)
    ...     def iterate(self, name, keys):
    ...         values = {"image": np.random.rand(2, 1, 8, 8), "logits": np.array([-1.0, 2.0]),
    ...                   "target": np.array([0, 0]), "idx": np.array([7, 3])}
    ...         yield {key: values[key] for key in keys}
    >>> path = Path(tempfile.mkdtemp()) / "mistakes.png"
    >>> WorstErrors(path, Evaluated(), "val").epoch_end()
    >>> print(path.with_suffix(".csv").read_text().strip())
    idx,target,predicted
    3,0,1
    """

    def __init__(
        self,
        path: str | Path,
        acc_plugin: StreamingEvaluation,
        acc_key: str,
        number: int = 16,
        image: str = "image",
        key: str = "logits",
        target: str = "target",
        index: str = "idx",
    ) -> None:
        at_least(1, number=number)
        require_evaluated(acc_plugin.datasets, acc_key)
        super().__init__(acc_plugin)
        self.path = Path(path)
        self.acc_key = acc_key
        self.number = number
        self.image = image
        self.key = key
        self.target = target
        self.index = index
        self._picture: Picture | None = None

    def images(self) -> dict[str, Picture]:
        """The picture of the mistakes made with the weights as they are; none without one."""
        return {} if self._picture is None else {f"mistakes/{self.acc_key}": self._picture}

    def reset(self) -> None:
        """There are no mistakes yet with the weights to come."""
        self._picture = None

    def compute(self) -> None:
        """Look, and write both files."""
        keys = [self.image, self.key, self.target, self.index]
        with closing(self.acc_plugin.iterate(self.acc_key, keys)) as batches:  # type: ignore[type-var]
            every = chain.from_iterable(self._of(batch) for batch in batches)
            worst = nlargest(self.number, every, key=lambda mistake: mistake.margin)
        with atomic_write(self.path.with_suffix(".csv")) as draft, draft.open("w") as file:
            table = csv.writer(file, lineterminator="\n")
            table.writerow([self.index, self.target, "predicted"])
            table.writerows([each.index, each.target, each.predicted] for each in worst)
        self._picture = album(worst) if worst else None
        if self._picture is None:
            self.path.unlink(missing_ok=True)
        else:
            with atomic_write(self.path) as draft:
                draft.write_bytes(png(self._picture))

    def _of(self, batch: Arrays) -> Iterator[Mistake]:
        images, logits = batch[self.image], batch[self.key]
        if images.ndim not in (3, 4):
            raise DataError(
                f"'{self.image}' has the shape {images.shape}; images are (samples, channels, "
                "height, width) or (samples, height, width)"
            )
        targets = batch[self.target].reshape(-1).astype(np.int64)
        predicted = predicted_classes(logits)
        rows = np.flatnonzero(predicted != targets)
        margins = np.nan_to_num(_margins(logits, predicted, targets), nan=np.inf)
        for row in rows:
            yield Mistake(
                float(margins[row]),
                np.array(images[row]),
                batch[self.index][row],
                int(targets[row]),
                int(predicted[row]),
            )


@dataclass(frozen=True)
class Mistake:
    """A sample that was taken for another class, and how sure the model was."""

    margin: float
    image: np.ndarray[Any, Any]
    index: Any
    target: int
    predicted: int


def album(mistakes: Sequence[Mistake]) -> Picture:
    """The images side by side, each with its class and the one that it was taken for.

    >>> album([Mistake(1.0, np.zeros((1, 8, 8)), index=7, target=4, predicted=9)] * 3).shape
    (172, 144, 3)
    """
    from PIL import Image, ImageDraw

    tiles = [_tile(mistake.image) for mistake in mistakes]
    height, width = (max(tile.shape[side] for tile in tiles) for side in (0, 1))
    columns = int(np.ceil(np.sqrt(len(tiles))))
    rows = -(-len(tiles) // columns)
    page = Image.new("RGB", (columns * width, rows * (height + CAPTION)), "white")
    draw = ImageDraw.Draw(page)
    for number, (tile, mistake) in enumerate(zip(tiles, mistakes, strict=True)):
        left, top = number % columns * width, number // columns * (height + CAPTION)
        page.paste(Image.fromarray(tile), (left, top))
        caption = f"{mistake.target} as {mistake.predicted}"
        draw.text((left + width // 2, top + height), caption, fill="black", anchor="ma")
    drawn: Picture = np.asarray(page)
    return drawn


def _tile(image: np.ndarray[Any, Any]) -> Picture:
    """Its own darkest and brightest value become black and white."""
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
