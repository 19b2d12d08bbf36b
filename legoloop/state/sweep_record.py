"""What a sweep writes down about itself: ``sweep.json``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from legoloop.core.whole_files import whole_file
from legoloop.state.claims import claim_directory
from legoloop.state.run_record import now


def claim_sweep(directory: Path, jobs: Sequence[Sequence[str]]) -> None:
    """Make a folder this sweep's own and write down its jobs, a list of overrides each.

    Raises ConfigError if it holds a sweep already, or cannot be made.

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> claim_sweep(folder, [["seed=0"], ["seed=1"]])
    >>> json.loads((folder / "sweep.json").read_text())["jobs"]
    [['seed=0'], ['seed=1']]
    """
    mark = claim_directory(directory, "sweep")
    facts = {"started": now(), "jobs": [list(job) for job in jobs]}
    with whole_file(mark) as draft:
        draft.write_text(json.dumps(facts, indent=2) + "\n")
