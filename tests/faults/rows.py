"""The table: every family of faults, in the order in which they are tried."""

from __future__ import annotations

from tests.faults import (
    configurations,
    damages,
    directories,
    disks,
    failed_starts,
    hostile,
    interruptions,
    kills,
    mutants,
    not_numbers,
    rank_kills,
    records,
    same_bits,
)
from tests.faults.tally import Row

EQUAL = "what is left equals the uninterrupted run's"

_BROKEN_OFF = (
    Row(
        "SIGKILL at uniform moments, 0 and 2 workers",
        f"{EQUAL}; at most one interval of work is lost",
        kills.killed_at_any_moment,
    ),
    Row("SIGKILL of the real command", EQUAL, kills.killed_by_the_real_command),
    Row("SIGKILL of a rank, and of what started it", EQUAL, rank_kills.killed_with_ranks),
    Row("SIGKILL of a sweep", "its jobs equal the uninterrupted sweep's", kills.killed_in_a_sweep),
    Row(
        "SIGKILL of jobs that are trained together",
        "each equals that of the uninterrupted sweep",
        kills.killed_in_a_group,
    ),
    Row("SIGKILL before each call to the disk", EQUAL, kills.killed_before_any_call),
    Row(
        "power lost before each call: what no fsync made sure of is gone",
        EQUAL,
        kills.power_lost_before_any_call,
    ),
    Row("killed while resuming, five times in a row", EQUAL, kills.killed_while_resuming),
    Row(
        "killed, then started without its data, a GPU, memory",
        f"the checkpoints stay; started once more: {EQUAL}",
        failed_starts.failed_starts,
    ),
    Row(
        "ENOSPC from each call to the disk on",
        "path and bytes told, earlier checkpoints whole; resumed with space: equal",
        disks.disk_full_from_any_call,
    ),
    Row("EIO at each call to the disk", "the same", disks.disk_failing_at_any_call),
    Row("a disk that is full, really", "the same", disks.disk_that_is_small),
)
_OTHERS = (
    Row(
        "a checkpoint cut at each 1 %, a bit of each block, a page of zeros, a file deleted",
        "noticed before anything is deserialised; the one before it is used",
        damages.damaged_checkpoint,
    ),
    Row(
        "SIGTERM, SIGINT, SIGUSR1 in each phase",
        "143, 130, 143; nothing half-made, no process left, no step lost, resumed: equal",
        interruptions.interrupted_in_any_phase,
    ),
    Row(
        "the same, with two workers and to them",
        "the same",
        interruptions.interrupted_with_workers,
    ),
    Row("a second Ctrl-C", "130 at once; resumed: equal", interruptions.interrupted_twice),
    Row(
        "one run directory, in sequence and while it runs",
        "refused in one line, no byte changed",
        directories.started_twice,
    ),
    Row(
        "one run directory, by up to 20 processes at once",
        "one runs, the others are refused in one line",
        directories.started_by_many_at_once,
    ),
    Row(
        "nan and inf in input, loss and gradient",
        "stopped before the step, named; the last checkpoint is finite",
        not_numbers.not_a_number,
    ),
    Row(
        "0, 1, 2, 4 workers",
        "the same to the last bit; nothing is drawn twice",
        same_bits.any_number_of_workers,
    ),
    Row(
        "evaluations in mid-epoch, also such that raise",
        "flags and generators unchanged, the same to the last bit",
        same_bits.looking_in_between,
    ),
    Row(
        "targets that do harm",
        "refused before anything is called or made",
        hostile.hostile_targets,
    ),
    Row(
        "values that lead runs out of their folder",
        "refused, nothing made",
        hostile.hostile_folders,
    ),
    Row(
        "YAML tags; pickles and links for checkpoints",
        "refused; the checkpoint before is used",
        hostile.hostile_files,
    ),
    Row(
        "a run directory damaged at random, through what reads those of others",
        "ends by itself in a few lines, without a traceback or what a terminal obeys",
        records.damaged_records,
    ),
    Row(
        "one job of a sweep damaged at random",
        "named, no traceback; the other jobs are run",
        records.damaged_sweep,
    ),
    Row(
        "a directory that others look at without a pause",
        "no start is refused",
        records.started_while_looked_at,
    ),
    Row(
        "a standard output that is closed, full, or read by nobody",
        "the run completes",
        records.output_that_fails,
    ),
    Row(
        "worker processes in the jobs of a sweep",
        "all jobs complete, with any launcher of this machine",
        records.workers_in_jobs,
    ),
    Row(
        "settings of a sweep in a run, and of a run in a sweep",
        "refused in a few lines, nothing made",
        records.settings_without_effect,
    ),
    Row(
        "shared memory without room for workers",
        "ends in one line that names it",
        records.shared_memory_that_is_full,
    ),
    Row(
        "wrong configurations, generated",
        "refused in one short line; nothing made, no traceback, no hang",
        configurations.wrong_configurations_refused,
    ),
    Row("mutants: a piece of all this taken away", "a row above fails", mutants.mutants),
)
ROWS = {row.name: row for row in (*_BROKEN_OFF, *_OTHERS)}
BROKEN_OFF, OTHERS = (tuple(row.name for row in rows) for rows in (_BROKEN_OFF, _OTHERS))
"""Two halves that take about as long as each other."""
