"""A Slurm that runs everything here, at once: just what submitit asks of its commands."""

from __future__ import annotations

from pathlib import Path

SBATCH = r"""#!/bin/bash
# Keeps the batch file, and begins each task of its array.
here=$(dirname "$0")
cp "$1" "$here/batch"
last=$(sed -n 's/^#SBATCH --array=0-\([0-9]*\)%.*/\1/p' "$1")
for task in $(seq 0 "$last"); do "$here/begin" "$task"; done
echo "Submitted batch job 7"
"""
BEGIN = r"""#!/bin/bash
here=$(dirname "$0")
echo "$1" >> "$here/begun"
export SLURM_JOB_ID=$((100 + $1)) SLURM_ARRAY_JOB_ID=7 SLURM_ARRAY_TASK_ID=$1
export SLURM_NTASKS=1 SLURM_JOB_NUM_NODES=1 SLURM_NODEID=0 SLURM_PROCID=0 SLURM_LOCALID=0
(setsid bash "$here/batch"; echo "$1" >> "$here/ended") > "$here/$1.log" 2>&1 < /dev/null &
"""
SRUN = r"""#!/bin/bash
# Without its own options, which name the logs.
while [[ $1 == --* ]]; do [[ $1 == --unbuffered ]] && shift || shift 2; done
exec "$@"
"""
SCONTROL = r"""#!/bin/bash
# scontrol requeue 7_<task>
"$(dirname "$0")/begin" "${2#*_}"
"""
SACCT = r"""#!/bin/bash
# A task that ended as often as it began is over; one that left no result had a bad node.
here=$(dirname "$0")
touch "$here/ended"
echo "JobID|State|NodeList"
for task in $(sort -u "$here/begun"); do
  begun=$(grep -cx "$task" "$here/begun") ended=$(grep -cx "$task" "$here/ended")
  [[ $begun == "$ended" ]] && state=NODE_FAIL || state=RUNNING
  echo "7_$task|$state|here"
done
"""
COMMANDS = {
    "sbatch": SBATCH,
    "begin": BEGIN,
    "srun": SRUN,
    "scontrol": SCONTROL,
    "sacct": SACCT,
}


def installed(folder: Path) -> Path:
    """The commands, in a folder for PATH."""
    folder.mkdir()
    for name, script in COMMANDS.items():
        (folder / name).write_text(script)
        (folder / name).chmod(0o755)
    return folder
