"""A real Slurm on this machine: slurmctld and slurmd of Debian's packages, without systemd.

They need root. ``python -m tests.app.sweep.launchers.slurm_here`` starts one to try things out in.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil

COMMANDS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "scontrol", "scancel")
SBIN = "/usr/sbin"
GRACE = 6
"""Seconds from the signal that a preempted job hears to the one that kills it."""

CONF = """
ClusterName=here
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller}
SlurmdPort={daemon}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
CredType=cred/munge
# A requeued job waits for its credentials to expire, two minutes by default.
AuthInfo=socket={folder}/munge.socket,cred_expire=10
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
SchedulerType=sched/builtin
SchedulerParameters=sched_interval=1,sched_min_interval=0,batch_sched_delay=0
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SlurmdParameters=config_overrides
ReturnToService=2
SlurmctldTimeout=30
SlurmdTimeout=30
KillWait=2
MinJobAge=20
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
JobRequeue=1
NodeName={host} NodeAddr=127.0.0.1 CPUs=16 CoresPerSocket=16 RealMemory=2000 State=UNKNOWN
PartitionName=low Nodes={host} Default=YES PriorityTier=1 PreemptMode=REQUEUE GraceTime={grace}
PartitionName=high Nodes={host} PriorityTier=10 PreemptMode=OFF
"""


def why_not() -> str | None:
    """Why there can be no Slurm here; None if there can."""
    path = f"{os.environ['PATH']}{os.pathsep}{SBIN}"
    missing = [name for name in COMMANDS if shutil.which(name, path=path) is None]
    if missing:
        return f"Slurm is not installed here: no {missing[0]} (apt-get install slurm-wlm)"
    return None if os.getuid() == 0 else "Slurm's daemons need root"


@dataclass(frozen=True)
class SlurmHere:
    """A Slurm that runs; ``environment`` is that of its commands."""

    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        """What its commands find it by."""
        return {"SLURM_CONF": str(self.folder / "slurm.conf")}

    def asked(self, *command: str) -> str:
        """What one of its commands prints."""
        env = {**os.environ, **self.environment}
        done = subprocess.run(command, capture_output=True, text=True, env=env, timeout=60)
        assert done.returncode == 0, (command, done.stderr)
        return done.stdout

    def daemons(self, job: str) -> list[psutil.Process]:
        """The ``slurmstepd`` of the step in which a job such as ``17_0`` computes."""
        found = self.asked("squeue", "--noheader", "--array", "--format=%A", "--jobs", job)
        title = f"slurmstepd: [{found.strip()}.0]"
        return [each for each in psutil.process_iter() if title in _arguments(each)]


def _arguments(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


@contextmanager
def slurm_here() -> Iterator[SlurmHere]:
    """While inside, a Slurm with one node of 16 cores and the partitions ``low`` and ``high``."""
    with TemporaryDirectory(prefix="slurm") as name, ExitStack() as running:
        folder = Path(name)
        for inner in ("state", "spool"):
            (folder / inner).mkdir()
        (folder / "munge.key").write_bytes(os.urandom(128))
        (folder / "munge.key").chmod(0o600)
        controller, daemon = _free_ports()
        conf = CONF.format(
            host=socket.gethostname().partition(".")[0],
            controller=controller,
            daemon=daemon,
            folder=folder,
            grace=GRACE,
        )
        (folder / "slurm.conf").write_text(conf)
        for command in (_munged(folder), ("slurmctld", "-D", "-c"), ("slurmd", "-D")):
            running.enter_context(_daemon(folder, *command))
        slurm = SlurmHere(folder)
        _wait_until_idle(slurm)
        yield slurm
        slurm.asked("scancel", "--user=root")


def _munged(folder: Path) -> tuple[str, ...]:
    places = {
        "socket": folder / "munge.socket",
        "key-file": folder / "munge.key",
        "pid-file": folder / "munge.pid",
        "log-file": folder / "munge.log",
        "seed-file": folder / "munge.seed",
    }
    return ("munged", "-F", "--force", *(f"--{key}={path}" for key, path in places.items()))


@contextmanager
def _daemon(folder: Path, *command: str) -> Iterator[None]:
    env = {**os.environ, "SLURM_CONF": str(folder / "slurm.conf")}
    env["PATH"] += f"{os.pathsep}{SBIN}"
    with (folder / f"{command[0]}.out").open("w") as out:
        process = subprocess.Popen(command, env=env, stdout=out, stderr=out, cwd=folder)
    if command[0] == "munged":
        _wait_for(folder / "munge.socket")
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_for(file: Path) -> None:
    give_up = time.monotonic() + 20
    while not file.exists():
        assert time.monotonic() < give_up, file
        time.sleep(0.05)


def _wait_until_idle(slurm: SlurmHere) -> None:
    give_up = time.monotonic() + 30
    while True:
        try:
            if "idle" in slurm.asked("sinfo", "--noheader", "--format=%T"):
                return
        except AssertionError:
            if time.monotonic() > give_up:
                raise
        time.sleep(0.1)


def _free_ports() -> list[int]:
    with ExitStack() as open_ones:
        sockets = [open_ones.enter_context(socket.socket()) for _ in range(2)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


if __name__ == "__main__":
    if problem := why_not():
        sys.exit(problem)
    with slurm_here() as started:
        print(f"export SLURM_CONF={started.environment['SLURM_CONF']}", flush=True)
        with suppress(KeyboardInterrupt):
            time.sleep(1e6)
