"""A run whose ranks are on several machines that a launcher gives it: the process on the first."""

from __future__ import annotations

import os
import time
from dataclasses import asdict

from legoloop.app.run.local_ranks import LocalRanks, Report
from legoloop.app.run.nodes import Node, first_node
from legoloop.app.run.rank_files import RankFailure, RankTask
from legoloop.app.run.ranked_run import RankedRun
from legoloop.core.record_files import first_line


class NodesRun(RankedRun):
    """The training of a run by ranks of several machines; it starts those of its own."""

    def _local_ranks(self) -> LocalRanks:
        return LocalRanks(_node().place)

    def _train(self, ranks: LocalRanks, task: RankTask) -> Report:
        from torch.distributed import DistError

        node = _node()
        node.wait_for_all(ranks)
        node.set("task", {"task": asdict(task), "directory": os.getcwd()})
        try:
            with node.watching(ranks):
                report = ranks.train(task)
        except DistError as error:  # not all machines have met
            report = Report({0: RankFailure("lost", first_line(error), time.time())})
        node.report(report)
        return node.reports(report, task.ranks)


def _node() -> Node:
    node = first_node()
    assert node is not None, "it was checked before"
    return node
