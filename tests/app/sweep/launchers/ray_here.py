"""A Ray cluster of three nodes of one core on this machine, in a process of its own.

It says its address; then it takes the number of a process of a job, a line each, and ends the node
that the process is on, without a warning, as a machine does whose power fails.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psutil

NODES = 3
MEMORY = 100_000_000


@dataclass(frozen=True)
class RayHere:
    """A cluster that runs."""

    process: subprocess.Popen[str]
    address: str

    def end_the_node_of(self, pid: int) -> bool:
        """End the node that a process is on; False if that is the head, which stays."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        print(pid, file=self.process.stdin, flush=True)
        return self.process.stdout.readline() == "gone\n"


@contextmanager
def ray_here() -> Iterator[RayHere]:
    """While inside, a cluster."""
    # Its workers are to know nothing of our modules.
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    process = subprocess.Popen(
        [sys.executable, "-P", __file__],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        cwd="/",
        env=env,
    )
    assert process.stdout is not None
    try:
        yield RayHere(process, process.stdout.readline().strip())
    finally:
        process.communicate(timeout=60)


def main() -> None:
    from ray.cluster_utils import Cluster

    own = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    given = {"num_cpus": 1, "include_dashboard": False, "object_store_memory": MEMORY}
    cluster = Cluster(initialize_head=True, head_node_args=given)
    for _ in range(NODES - 1):
        cluster.add_node(num_cpus=1, object_store_memory=MEMORY)
    print(cluster.address, file=own, flush=True)
    for line in sys.stdin:
        raylet = psutil.Process(int(line)).ppid()
        (node,) = (each for each in cluster.list_all_nodes() if _raylet_of(each) == raylet)
        if node is not cluster.head_node:
            cluster.remove_node(node, allow_graceful=False)
        print("gone" if node is not cluster.head_node else "head", file=own, flush=True)
    cluster.shutdown()


def _raylet_of(node: object) -> int:
    pid: int = node.all_processes["raylet"][0].process.pid  # type: ignore[attr-defined]
    return pid


if __name__ == "__main__":
    main()
