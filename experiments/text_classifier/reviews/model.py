"""The pretrained model, with a new head."""

from __future__ import annotations

from transformers import AutoModelForSequenceClassification
from transformers.utils import logging


def classifier(pretrained, num_labels=2):
    """That of a folder, or of the hub. That its head is new is meant, so nothing warns of it."""
    before = logging.get_verbosity()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        return AutoModelForSequenceClassification.from_pretrained(pretrained, num_labels=num_labels)
    finally:
        logging.set_verbosity(before)
