"""Starts of an unfinished run that cannot build what it trains: nothing of it is lost."""

from __future__ import annotations

from functools import partial

from tests.faults.interruptions import before_a_call
from tests.faults.kills import kill_itself
from tests.faults.tally import Tally
from tests.faults.trials import Trial, resumed_as_if_nothing_had_happened, trial

WHY: dict[str, Exception] = {
    "the data are away": FileNotFoundError(2, "No such file or directory", "data/train.csv"),
    "a bug in a component": AttributeError("'NoneType' object has no attribute 'shape'"),
    "no memory": MemoryError(),
    "no GPU": RuntimeError("No CUDA GPUs are available"),
}
PLACES = ("faulted:Noisy.__init__", "faulted:Net.__init__", "faulted:Consumed.__init__")


def failed_starts(long: bool) -> Tally:
    """A killed run, started in vain once or three times, and then for real."""
    tally = Tally()
    cases = [(place, why) for place in PLACES for why in WHY]
    for place, why in cases if long else cases[::9]:
        with trial() as one:
            one.run(fault=before_a_call("faulted:Net.forward", 40, kill_itself))
            before = _checkpoints(one)
            for _ in range(3 if long else 1):
                ended = one.run(fault=before_a_call(place, 1, partial(_raise, WHY[why])))
                name = f"{why} in {place}"
                tally.count(f"{name}: fails", None if ended.status == 1 else str(ended))
            tally.count(f"{name}: keeps", _difference(before, _checkpoints(one)))
            tally.count(f"{name}: goes on", resumed_as_if_nothing_had_happened(one))
    return tally


def _checkpoints(one: Trial) -> dict[str, bytes]:
    folder = one.directory / "checkpoints"
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def _difference(before: dict[str, bytes], now: dict[str, bytes]) -> str | None:
    return None if before and before == now else f"{sorted(before)} became {sorted(now)}"


def _raise(error: Exception) -> None:
    raise error
