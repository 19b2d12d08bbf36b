"""The lines of a text, as numbers."""

from __future__ import annotations

from pathlib import Path

import torch

CHARACTERS = "\n" + "".join(map(chr, range(32, 127)))
"""A newline, which begins and ends a line, and what can be printed of ASCII."""


def numbers(text):
    return torch.tensor([max(CHARACTERS.find(character), 0) for character in text])


class Lines:
    """Each line is a sample of a length of its own; every ``hold_out``-th is for validation."""

    num_characters = len(CHARACTERS)

    def __init__(self, path, train=True, hold_out=10):
        lines = Path(path).read_text().splitlines()
        chosen = [n for n, line in enumerate(lines) if line and (n % hold_out != 0) == train]
        self.rows = chosen
        self.lines = [numbers(f"\n{lines[row]}\n") for row in chosen]
        self.length = [len(line) for line in self.lines]

    def __len__(self):
        return len(self.lines)

    def __getitem__(self, item):
        line = self.lines[item]
        return {"idx": self.rows[item], "characters": line[:-1], "target": line[1:]}
