"""A running text, cut into rows that are read side by side."""

from __future__ import annotations

from math import ceil
from pathlib import Path

import torch

END_OF_LINE = "<eol>"


class Prose:
    """``rows`` pieces of a text, of which a sample is a segment of ``length`` words.

    The samples are in the order of reading: first the first segment of each row, then the second of
    each. So batches of ``rows`` samples, not shuffled, continue each other row by row. The first
    ``1 - hold_out`` of the text are for training, the rest for validation.
    """

    def __init__(self, path, rows, length, train=True, hold_out=0.1):
        text = Path(path).read_text()
        words = text.replace("\n", f" {END_OF_LINE} ").split()
        vocabulary = {word: number for number, word in enumerate(sorted(set(words)))}
        numbers = torch.tensor([vocabulary[word] for word in words])
        cut = int(len(numbers) * (1 - hold_out))
        part = numbers[:cut] if train else numbers[cut:]
        steps = (len(part) - 1) // rows
        self.words = part[: rows * steps].view(rows, steps)
        self.target = part[1 : rows * steps + 1].view(rows, steps)
        self.num_words = len(vocabulary)
        self.rows = rows
        self.length = length

    def __len__(self):
        return self.rows * ceil(self.words.shape[1] / self.length)

    def __getitem__(self, item):
        segment, row = divmod(item, self.rows)
        place = slice(segment * self.length, (segment + 1) * self.length)
        return {
            "idx": item,
            "words": self.words[row, place],
            "target": self.target[row, place],
            "starts": segment == 0,
        }
