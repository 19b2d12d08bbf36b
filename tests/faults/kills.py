"""Kills: at any moment, before any call to the disk, while resuming, and with the power gone."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable, Sequence

from tests.faults.calls import (
    Act,
    Calls,
    calls_in,
    killed_before,
    listed_in,
    one_save,
    power_lost_before,
)
from tests.faults.outcomes import Outcome
from tests.faults.tally import Tally
from tests.faults.trials import (
    EVERY,
    Trial,
    outlived,
    resumed_as_if_nothing_had_happened,
    trial,
    uninterrupted,
)

WORKERS = "data.loaders.default.num_workers={}"
SWEEP = ("hydra.sweep.dir=sweep", "seed=0,1,2", "num_epochs=1", "-m")
GROUP = (
    *("hydra.sweep.dir=sweep", "hydra/launcher=vmap", "model=mlp", "model.dropout=0.3"),
    *("model.hidden=[32]", "seed=0,1", "num_epochs=1,2", "-m"),
)
"""Four jobs that are trained together, of which two end before the others."""
REFUSED = 2
"""The status of a command that would begin again what is done."""


def killed_at_any_moment(long: bool) -> Tally:
    """SIGKILL at uniform moments, in a run without workers and in one with two."""
    tally = Tally()
    kills = {0: 200, 2: 100} if long else {0: 3, 2: 1}
    for workers, number in kills.items():
        overrides = WORKERS.format(workers)
        seconds = uninterrupted(overrides).seconds
        for moment in moments(number, seconds):
            with trial(overrides) as killed:
                ended = killed.begin().kill_after(moment)
                tally.count(
                    f"{workers} workers, after {moment:.3f} of {seconds:.3f} s",
                    problem_of_a_killed(killed) if ended.status == -signal.SIGKILL else None,
                )
    return tally


def killed_by_the_real_command(long: bool) -> Tally:
    """The same with the command itself, started by a new interpreter each time."""
    tally = Tally()
    for moment in moments(20, 6.0) if long else [3.0]:
        with trial() as killed:
            process = killed.command()
            try:
                process.communicate(timeout=moment)
            except Exception:
                process.kill()
                process.communicate()
            again = killed.command()
            _, err = again.communicate()
            problem = None if again.returncode == 0 else f"resuming: {err.strip()}"
            if process.returncode == 0:  # it was done, and is refused
                problem = None if again.returncode == 2 else "a finished run was begun again"
            elif problem is not None and "holds a run already (COMPLETED" in problem:
                problem = None  # it was killed after its end
            problem = problem or killed.outcome().differs_from(uninterrupted().outcome)
            tally.count(f"after {moment:.1f} s", problem)
    return tally


def killed_before_any_call(long: bool) -> Tally:
    """SIGKILL before calls to the disk; in the long form all of one save, each fifth of the run."""
    return _before_calls(killed_before, "killed", long)


def power_lost_before_any_call(long: bool) -> Tally:
    """The same, and what no fsync has made sure of is not there afterwards."""
    return _before_calls(power_lost_before, "power lost", long)


def killed_while_resuming(long: bool) -> Tally:
    """A run that is killed, then five times in a row soon after it was started again."""
    tally = Tally()
    seconds = uninterrupted().seconds
    for number in range(20 if long else 1):
        draw = random.Random(number)
        with trial() as killed:
            killed.begin().kill_after(draw.uniform(0.5, 1.0) * seconds)
            for _ in range(5):
                killed.begin().kill_after(draw.uniform(0.0, 0.8) * seconds)
            problem = resumed_as_if_nothing_had_happened(killed)
            done_before = problem and "holds a run already (COMPLETED" in problem
            tally.count(f"chain {number}", None if done_before else problem)
    return tally


def killed_in_a_sweep(long: bool) -> Tally:
    """A sweep of three jobs, killed at uniform moments; the same command goes on with it."""
    return _killed_sweep(SWEEP, 3, 20 if long else 1)


def killed_in_a_group(long: bool) -> Tally:
    """The same with jobs that are trained together as one program."""
    return _killed_sweep(GROUP, 4, 24 if long else 1)


def _killed_sweep(overrides: Sequence[str], jobs: int, number: int) -> Tally:
    tally = Tally()
    with trial(*overrides) as whole:
        began = time.monotonic()
        ended = whole.run()
        assert ended.status == 0, ended
        seconds, wanted = time.monotonic() - began, _outcomes(whole, jobs)
    for moment in moments(number, seconds):
        with trial(*overrides) as killed:
            killed.begin().kill_after(moment)
            ended = killed.run()
            problem = None if _outcomes(killed, jobs) == wanted else "its jobs are not equal"
            if ended.status not in (0, REFUSED):
                problem = f"going on ended with {ended.status}: {ended.err.strip()[-300:]}"
            tally.count(f"after {moment:.2f} of {seconds:.2f} s", problem)
    return tally


def kill_itself() -> None:
    """SIGKILL, of the process that calls this."""
    os.kill(os.getpid(), signal.SIGKILL)


def _outcomes(swept: Trial, number: int) -> list[Outcome]:
    """What the jobs of a sweep left."""
    jobs = [swept.here / "sweep" / str(job) for job in range(number)]
    return [Outcome.of(job, job.with_suffix(".consumed")) for job in jobs]


def _before_calls(act: Callable[[int], Act], told: str, long: bool) -> Tally:
    tally = Tally()
    overrides = ("num_epochs=1", "plugins.checkpoints.keep_last=1")
    made = calls_of_a_run(*overrides)
    save = one_save(made, 2 * EVERY, 3 * EVERY)
    sample = {*range(0, len(made), 5), *save} if long else {3, *save[2::20]}
    for number in sorted(sample):
        call, path = made[number]
        with trial(*overrides) as killed:
            ended = killed.run(fault=Calls(killed.directory, act(number)).install)
            problem = f"ended with {ended.status}: {ended.err}"
            if ended.status == -signal.SIGKILL:
                problem = problem_of_a_killed(killed)
            tally.count(f"{told} before call {number}, {call} {path}", problem)
    return tally


def calls_of_a_run(*overrides: str) -> list[tuple[str, str]]:
    """What a run that nothing happens to asks of the disk, in order."""
    with trial(*overrides) as whole:
        file = whole.here / "calls"
        ended = whole.run(fault=lambda: Calls(whole.directory, listed_in(file)).install())
        assert ended.status == 0, ended
        base = f"{whole.directory}/"
        return [(call, path.replace(base, "").replace("run/", "")) for call, path in calls_in(file)]


def problem_of_a_killed(killed: Trial) -> str | None:
    """What is wrong with what a killed run leaves, and with the run that goes on from it."""
    outlived(patience=10.0)  # workers look for their parent now and then
    before = killed.steps_consumed()
    problem = resumed_as_if_nothing_had_happened(killed)
    if problem is not None and "holds a run already (COMPLETED" in problem:  # killed after its end
        return killed.outcome().differs_from(uninterrupted(*killed.overrides).outcome)
    if problem is not None:
        return problem
    again = killed.steps_consumed()[len(before) :]
    if before and again and before[-1] - (again[0] - 1) > EVERY:
        return f"{before[-1] - (again[0] - 1)} steps were lost"
    return None


def moments(number: int, seconds: float) -> list[float]:
    """Spread evenly, each at a random place of its share."""
    draw = random.Random(number)
    return [(share + draw.random()) * seconds / number for share in range(number)]
