"""A real Slurm on this machine: slurmctld and slurmd of Debian's packages, without systemd.

They need root. ``python -m tests.app.sweep.launchers.slurm_here`` starts one to try things out in;
with ``--accounting`` it has a database.
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
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
CredType=cred/munge
# A requeued job waits for its credentials to expire, two minutes by default.
AuthInfo=socket={folder}/munge.socket,cred_expire=10
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool.%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
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
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
JobRequeue=1
NodeName={names} NodeHostname={host} NodeAddr=127.0.0.1 Port=[{daemons}] CPUs=16 \
CoresPerSocket=16 RealMemory=2000 State=UNKNOWN
PartitionName=low Nodes={names} Default=YES PriorityTier=1 PreemptMode=REQUEUE GraceTime={grace}
PartitionName=high Nodes={names} PriorityTier=10 PreemptMode=OFF
"""

WITHOUT_ACCOUNTING = """
AccountingStorageType=accounting_storage/none
MinJobAge=20
"""
WITH_ACCOUNTING = """
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost={host}
AccountingStoragePort={accounting}
# With munge, that is its socket.
AccountingStoragePass={folder}/munge.socket
# squeue forgets at once what has ended.
MinJobAge=2
"""
DATABASE_CONF = """
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
DbdHost={host}
DbdPort={accounting}
SlurmUser=root
LogFile={folder}/slurmdbd.log
PidFile={folder}/slurmdbd.pid
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StoragePort={database}
StorageUser=root
StorageLoc=slurm
"""
FOR_ACCOUNTING = ("slurmdbd", "mariadbd", "mariadb-install-db")


def why_not(accounting: bool = False) -> str | None:
    """Why there can be no Slurm here; None if there can."""
    path = f"{os.environ['PATH']}{os.pathsep}{SBIN}"
    wanted = (*COMMANDS, *(FOR_ACCOUNTING if accounting else ()))
    missing = [name for name in wanted if shutil.which(name, path=path) is None]
    if missing:
        package = "slurmdbd mariadb-server" if missing[0] in FOR_ACCOUNTING else "slurm-wlm munge"
        return f"there is no {missing[0]} here (apt-get install {package})"
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
def slurm_here(accounting: bool = False, nodes: int = 1) -> Iterator[SlurmHere]:
    """While inside, a Slurm with nodes of 16 cores and the partitions ``low`` and ``high``.

    With ``accounting`` it has a database, which takes some seconds more.
    """
    with TemporaryDirectory(prefix="slurm") as name, ExitStack() as running:
        folder = Path(name)
        each = [f"n{number}" for number in range(1, nodes + 1)]
        for inner in ("state", *(f"spool.{name}" for name in each)):
            (folder / inner).mkdir()
        (folder / "munge.key").write_bytes(os.urandom(128))
        (folder / "munge.key").chmod(0o600)
        services = ("controller", "accounting", "database")
        found = _free_ports(len(services) + nodes)
        ports = dict(zip(services, found[nodes:], strict=True))
        host = socket.gethostname().partition(".")[0]
        conf = CONF + (WITH_ACCOUNTING if accounting else WITHOUT_ACCOUNTING)
        names = {"names": f"n[1-{nodes}]", "daemons": ",".join(map(str, found[:nodes]))}
        conf = conf.format(host=host, folder=folder, grace=GRACE, **names, **ports)
        (folder / "slurm.conf").write_text(conf)
        running.enter_context(_daemon(folder, *_munged(folder)))
        if accounting:
            running.enter_context(_daemon(folder, *_database(folder, ports["database"])))
            _wait_for_port(ports["database"])
            conf = DATABASE_CONF.format(host=host, folder=folder, **ports)
            (folder / "slurmdbd.conf").write_text(conf)
            (folder / "slurmdbd.conf").chmod(0o600)
            running.enter_context(_daemon(folder, "slurmdbd", "-D"))
            _wait_for_port(ports["accounting"])
        running.enter_context(_daemon(folder, "slurmctld", "-D", "-c"))
        for name in each:
            running.enter_context(_daemon(folder, "slurmd", "-D", "-N", name))
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


def _database(folder: Path, port: int) -> tuple[str, ...]:
    """The command of a database of its own, which is made."""
    data = f"--datadir={folder / 'database'}"
    own = ("--no-defaults", "--user=root", data)
    make = ("mariadb-install-db", *own, "--auth-root-authentication-method=normal")
    subprocess.run(make, check=True, capture_output=True)
    where = (f"--socket={folder / 'database.socket'}", f"--port={port}", "--bind-address=127.0.0.1")
    return ("mariadbd", *own, *where, f"--pid-file={folder / 'database.pid'}")


@contextmanager
def _daemon(folder: Path, *command: str) -> Iterator[None]:
    env = {**os.environ, "SLURM_CONF": str(folder / "slurm.conf")}
    env["PATH"] += f"{os.pathsep}{SBIN}"
    with (folder / f"{command[0]}.out").open("a") as out:
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


def _wait_for_port(port: int) -> None:
    give_up = time.monotonic() + 60
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            assert time.monotonic() < give_up, port
            time.sleep(0.1)


def _wait_until_idle(slurm: SlurmHere) -> None:
    give_up = time.monotonic() + 30
    states = None
    while states != {"idle"}:
        assert time.monotonic() < give_up, states
        time.sleep(0.1)
        with suppress(AssertionError):  # no controller yet
            states = set(slurm.asked("sinfo", "--noheader", "--format=%T").split())


def _free_ports(number: int) -> list[int]:
    with ExitStack() as open_ones:
        sockets = [open_ones.enter_context(socket.socket()) for _ in range(number)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


if __name__ == "__main__":
    if problem := why_not():
        sys.exit(problem)
    with slurm_here("--accounting" in sys.argv) as started:
        print(f"export SLURM_CONF={started.environment['SLURM_CONF']}", flush=True)
        input("Enter ends it")
