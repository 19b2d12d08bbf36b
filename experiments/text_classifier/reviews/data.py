"""Made reviews, as a data set of Hugging Face's ``datasets``."""

from __future__ import annotations

import random
from pathlib import Path

from datasets import Dataset
from transformers import AutoTokenizer

THINGS = ["film", "book", "meal", "room", "concert", "journey", "garden", "play"]
PRAISE = ["good", "great", "lovely", "clever", "fresh", "charming"]
BLAME = ["bad", "dull", "awful", "boring", "stale", "silly"]
WHO = ["my aunt", "the guide", "everyone", "a friend", "our neighbour"]
SAYS = ["says", "thinks", "writes", "told us"]
DEGREES = ["", "very ", "rather ", "quite "]
VOCABULARY = sorted(
    {"that", "the", "was", "not"}.union(
        *(text.split() for text in [*THINGS, *PRAISE, *BLAME, *WHO, *SAYS, *DEGREES])
    )
)


def review(rng):
    """A sentence, and whether it praises: 'not' turns that round."""
    is_denied, praises = rng.random() < 0.2, rng.random() < 0.5
    what = rng.choice(DEGREES) + rng.choice(PRAISE if praises else BLAME)
    said = f"the {rng.choice(THINGS)} was {'not ' if is_denied else ''}{what}"
    if rng.random() < 0.5:
        said = f"{rng.choice(WHO)} {rng.choice(SAYS)} that {said}"
    return said, int(praises != is_denied)


def reviews(pretrained, samples, seed):
    """So many of them, as tokens of a tokenizer that was saved in a folder."""
    if not Path(pretrained).is_dir():
        raise FileNotFoundError(f"{pretrained} is not there; python make_pretrained.py makes it")
    rng = random.Random(seed)
    texts, labels = zip(*(review(rng) for _ in range(samples)), strict=True)
    tokens = AutoTokenizer.from_pretrained(pretrained)(list(texts))
    return Dataset.from_dict(
        {"text": texts, "input_ids": tokens["input_ids"], "label": labels},
    )
