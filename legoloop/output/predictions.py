"""The predictions of a run, one row per sample."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from legoloop.core.contracts import Evaluation
from legoloop.core.errors import ArgumentError, DataError
from legoloop.core.suggest import suggestion
from legoloop.core.whole_files import whole_file


class CsvLogits:
    """At the end of the training, writes ``index`` and one column per output to a CSV file.

    ``acc_plugin`` evaluates the data set named ``acc_key``; ``key`` is the accumulated array to
    write, (samples, columns) or (samples,) float, and ``index`` the one that identifies samples.
    ``names`` are the columns, ``logit0``, ``logit1``, … when None. Float32 reads back exactly.

    Raises ArgumentError if the evaluation has no such data set, DataError if an array is missing,
    a sample occurs twice, or the names do not match the columns.
    """

    def __init__(
        self,
        path: str | Path,
        acc_plugin: Evaluation,
        acc_key: str,
        names: Sequence[str] | None = None,
        index: str = "idx",
        key: str = "logits",
    ) -> None:
        if acc_key not in acc_plugin.names:
            raise ArgumentError(
                f"acc_key is '{acc_key}', which is not evaluated; "
                f"{suggestion(acc_key, acc_plugin.names)}"
            )
        self.path = Path(path)
        self.acc_plugin = acc_plugin
        self.acc_key = acc_key
        self.names = names
        self.index = index
        self.key = key

    def train_end(self) -> None:
        """Evaluate, unless somebody did, and write."""
        import pandas as pd

        accumulated = self.acc_plugin.accumulated(self.acc_key)
        index, values = (self._array(accumulated, name) for name in (self.index, self.key))
        values = values.reshape(len(values), -1)
        self._refuse_repeated(index)
        table = pd.DataFrame(values, columns=self._columns(values.shape[1]))
        table.insert(0, self.index, index)
        with whole_file(self.path) as draft:
            table.to_csv(draft, index=False)

    def _array(self, accumulated: Mapping[str, Any], name: str) -> np.ndarray[Any, Any]:
        if name not in accumulated:
            raise DataError(
                f"{self.path.name} needs '{name}', which no accumulator collects; "
                f"{suggestion(name, accumulated)}"
            )
        return np.asarray(accumulated[name])

    def _refuse_repeated(self, index: np.ndarray[Any, Any]) -> None:
        values, counts = np.unique(index, return_counts=True)
        repeated = values[counts > 1]
        if len(repeated):
            raise DataError(
                f"{self.index} {repeated[0]} occurs {counts[counts > 1][0]} times in "
                f"'{self.acc_key}'; it must tell the samples apart (repeated: {len(repeated)})"
            )

    def _columns(self, width: int) -> list[str]:
        if self.names is None:
            return [f"{self.key.removesuffix('s')}{number}" for number in range(width)]
        if len(self.names) != width:
            raise DataError(
                f"{self.path.name}: {len(self.names)} names for {width} columns of '{self.key}'"
            )
        return list(self.names)
