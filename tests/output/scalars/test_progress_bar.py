from __future__ import annotations

import logging
import sys

import pytest

from legoloop.output.scalars.progress_bar import ProgressBar


def test_a_batch_that_leads_beyond_the_end_leaves_it_full(
    capsys: pytest.CaptureFixture[str],
) -> None:
    bar = ProgressBar()
    bar.show("epoch 1", 36, 30, "loss 1")
    bar.close()
    assert "36/36  loss 1" in capsys.readouterr().out


def test_handlers_of_logging_have_their_streams_back(capsys: pytest.CaptureFixture[str]) -> None:
    handler = logging.StreamHandler(stream := sys.stdout)
    logging.root.addHandler(handler)
    try:
        bar = ProgressBar()
        bar.show("epoch 1", 3, 30, "loss 1")
        logging.error("told")
        assert "\rtold\n" in capsys.readouterr().out
        bar.close()
        assert handler.stream is stream
    finally:
        logging.root.removeHandler(handler)
