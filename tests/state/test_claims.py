from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from legoloop.core.errors import ConfigError
from legoloop.state.claims import claim_directory


def test_of_many_that_try_one_wins(tmp_path: Path) -> None:
    def claimed(_: int) -> bool:
        try:
            claim_directory(tmp_path / "run", "run")
        except ConfigError:
            return False
        return True

    with ThreadPoolExecutor(20) as pool:
        assert sum(pool.map(claimed, range(20))) == 1


def test_a_run_in_a_sweep_has_its_own_directory(tmp_path: Path) -> None:
    assert claim_directory(tmp_path, "sweep") == tmp_path / "sweep.json"
    assert claim_directory(tmp_path / "0", "run") == tmp_path / "0" / "run.json"


def test_the_message_tells_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text('{"status": "FAILED", "started": "today"}')
    with pytest.raises(ConfigError) as error:
        claim_directory(tmp_path, "run")
    assert str(error.value) == (
        f"hydra.run.dir: {tmp_path} holds a run already (FAILED, started today); "
        "choose another directory, or remove that one"
    )


def test_what_is_no_directory_cannot_be_made_one(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=r"file/run cannot be made \(Not a directory\)"):
        claim_directory(tmp_path / "file" / "run", "run")
