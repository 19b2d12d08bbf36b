"""Ways to vote: from the members' logits (members, samples, classes) to (samples, classes)."""

from __future__ import annotations

import numpy as np


def mean(logits):
    return logits.mean(axis=0)


def majority(logits):
    classes = logits.shape[-1]
    return np.eye(classes)[logits.argmax(axis=-1)].sum(axis=0)
