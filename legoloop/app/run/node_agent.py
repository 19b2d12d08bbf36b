"""What runs on the machines of a run other than the first: it starts their ranks.

It composes, locks and records nothing.
"""

from __future__ import annotations

import os
import time
import traceback
from contextlib import suppress
from typing import Any

from legoloop.app.run.local_ranks import LocalRanks, Report
from legoloop.app.run.nodes import LOOK_EVERY, Node, joined
from legoloop.app.run.rank_files import RankFailure, RankTask
from legoloop.app.run.rendezvous import Rendezvous
from legoloop.app.run.signals import interruptions


def join_run(rendezvous: Rendezvous, number: int) -> None:
    """Train with the ranks of this machine what the first one sends, if it sends anything.

    Whatever ends the run, this returns: the first machine reports it.

    Args:
        rendezvous: of this attempt at the run.
        number: of this machine, from 1.

    Raises DataError if the first machine cannot be found.
    """
    node = joined(rendezvous, number)
    if node is None:
        return
    with (
        suppress(RuntimeError),  # torch's: the first machine is gone
        LocalRanks(node.place) as ranks,
        interruptions(lambda each: ranks.interrupt(each.number)),
    ):
        if (sent := _what_is_sent(node)) is not None:
            node.report(_trained(node, ranks, RankTask(**sent["task"]), sent["directory"]))


def _what_is_sent(node: Node) -> Any:
    """The task and the directory that it is begun in; None if the run ends without ranks."""
    while not node.has("task"):
        if node.has("over"):
            return None
        time.sleep(LOOK_EVERY)
    return node.get("task")


def _trained(node: Node, ranks: LocalRanks, task: RankTask, directory: str) -> Report:
    try:
        os.chdir(directory)
        with node.watching(ranks):
            return ranks.train(task)
    except Exception as error:
        first = ranks.place.ranks(task.ranks)[0]
        trace = traceback.format_exc()
        return Report({first: RankFailure("bug", repr(error), time.time(), trace=trace)})
