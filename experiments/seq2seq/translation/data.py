"""Pairs of sequences: a number in words, and its digits."""

from __future__ import annotations

import torch

import legoloop as ll

NAMES = """
zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen
sixteen seventeen eighteen nineteen twenty thirty forty fifty sixty seventy eighty ninety hundred
"""
WORDS = ["<pad>", *NAMES.split()]
ONES, TENS = WORDS[1:21], WORDS[21:29]
PAD, BEGIN, END = 0, 1, 2
SIGNS = ["<pad>", "<begin>", "<end>", *"0123456789"]


def in_words(number):
    if number >= 100:
        rest = in_words(number % 100) if number % 100 else []
        return [ONES[number // 100], "hundred", *rest]
    if number >= 20:
        return [TENS[number // 10 - 2], *([ONES[number % 10]] if number % 10 else [])]
    return [ONES[number]]


class Numbers:
    """The numbers from 0 to 999; every ``hold_out``-th is for validation."""

    num_words, num_signs = len(WORDS), len(SIGNS)

    def __init__(self, train=True, hold_out=8):
        self.numbers = [n for n in range(1000) if (n % hold_out != 0) == train]

    def __len__(self):
        return len(self.numbers)

    def __getitem__(self, item):
        number = self.numbers[item]
        digits = [SIGNS.index(digit) for digit in str(number)]
        return {
            "idx": number,
            "source": {"tokens": torch.tensor([WORDS.index(word) for word in in_words(number)])},
            "target": {"tokens": torch.tensor([BEGIN, *digits, END])},
        }


pad = ll.PadCollate({"tokens": PAD})


def collate(records):
    """Each side is padded on its own: a batch of two dicts, each with ``tokens`` and ``mask``."""
    sides = {side: pad([record[side] for record in records]) for side in ("source", "target")}
    return {"idx": torch.tensor([record["idx"] for record in records]), **sides}
