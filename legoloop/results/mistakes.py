"""The samples of which a run predicted another class than the right one, worst first."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from legoloop.core.errors import DataError
from legoloop.core.run_directory import TARGETS
from legoloop.results.predictions import read_predicted, read_target_classes
from legoloop.results.reading import Run
from legoloop.results.table import Table

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

COLUMNS = ("sample", "target", "predicted", "probability", "margin")


@dataclass(frozen=True)
class Mistakes:
    """The samples that are wrong, and how many there are of how many.

    Args:
        table: the sample, its target, the predicted class, the probability of that, and by how
            much its logit exceeds that of the target; the largest margin first.
        total: the samples whose target is known.
    """

    table: Table
    total: int

    def shortened(self, most: int) -> Mistakes:
        """With at most so many samples."""
        return replace(self, table=replace(self.table, rows=self.table.rows[:most]))


def mistakes_of(run: Run) -> Mistakes:
    """The mistakes of a run.

    Raises DataError if it has no predictions, no logits, or no targets beside them.
    """
    import numpy as np

    predicted = read_predicted(run)
    targets = read_target_classes(run, predicted)
    if targets is None:
        raise DataError(
            f"{run.name}: has no {TARGETS}, so nobody knows what is right; evaluate it with "
            "plugins.predicts.targets='${run_dir}/targets.csv' and accumulators that collect "
            "'target', and ask for the mistakes of the folder that this writes"
        )
    known = np.array([n for n, s in enumerate(predicted.samples) if s in targets], dtype=int)
    right = np.array([targets[predicted.samples[n]] for n in known], dtype=int)
    logits, classes = predicted.logits[known], predicted.classes[known]
    wrong = np.flatnonzero(classes != right)
    margins = np.nan_to_num(margins_of(logits, classes, right), nan=np.inf)
    order = wrong[np.argsort(-margins[wrong], kind="stable")]
    likely = probabilities_of(logits, classes)
    rows = [
        [
            predicted.samples[known[n]],
            predicted.name(int(right[n])),
            predicted.name(int(classes[n])),
            float(likely[n]),
            float(margins[n]),
        ]
        for n in order
    ]
    return Mistakes(Table(COLUMNS, rows, identifying=len(COLUMNS)), len(known))


def margins_of(logits: Array, classes: Array, targets: Array) -> Array:
    """By how much the logit of a class exceeds that of the target, shape (samples,).

    Args:
        logits: shape (samples, columns), float64; of a single column the other class has 0.
        classes: shape (samples,), int.
        targets: shape (samples,), int.

    >>> import numpy as np
    >>> margins_of(np.array([[1.0, 3.0]]), np.array([1]), np.array([0])).tolist()
    [2.0]
    """
    import numpy as np

    if logits.shape[1] == 1:
        found: Array = np.abs(logits[:, 0])
        return found
    rows = np.arange(len(logits))
    known = np.minimum(targets, logits.shape[1] - 1)
    difference: Array = logits[rows, classes] - logits[rows, known]
    return difference


def probabilities_of(logits: Array, classes: Array) -> Array:
    """The softmax of logits at one class of each sample, shape (samples,).

    >>> import numpy as np
    >>> probabilities_of(np.array([[0.0]]), np.array([0])).tolist()
    [0.5]
    """
    import numpy as np

    if logits.shape[1] == 1:
        logits = np.concatenate([np.zeros_like(logits), logits], axis=1)
    with np.errstate(invalid="ignore", over="ignore"):
        shifted = np.exp(logits - logits.max(axis=1, keepdims=True, initial=-np.inf))
        found: Array = shifted[np.arange(len(shifted)), classes] / shifted.sum(axis=1)
    return found
