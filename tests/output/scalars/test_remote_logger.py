"""What every logger of a tracking service does alike, with a service that is a list in memory."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import legoloop as ll
from legoloop.core.variation import Variation
from legoloop.output.scalars.remote_logger import AboutRun, RemoteLogger, Report
from tests.app.composed import blueprint_of
from tests.told import Told


class Refused(Exception):
    pass


class Service:
    """Keeps whatever it is told, also twice."""

    def __init__(self) -> None:
        self.runs: dict[str, list[tuple[int, str, float]]] = {}
        self.statuses: dict[str, str] = {}
        self.refuses: str | None = None


class ToService(RemoteLogger):
    def __init__(self, service: Service, run_dir: str = "a", **more: Any) -> None:
        super().__init__(ll.Counter(), Told(), AboutRun.of(None, None, run_dir=run_dir), **more)
        self.service = service
        self.uploaded: list[Path] = []

    place = "the service"

    def errors(self) -> tuple[type[Exception], ...]:
        return (Refused,)

    def is_gone(self, error: Exception) -> bool:
        return str(error) == "gone"

    def begin(self, run_id: str | None) -> str:
        run_id = run_id or f"run {len(self.service.runs)}"
        self.there = {(step, tag) for step, tag, _ in self.service.runs.setdefault(run_id, [])}
        self.service.statuses[run_id] = "running"
        return run_id

    def has(self, tag: str, step: int) -> bool:
        return (step, tag) in self.there

    def send(self, reports: Sequence[Report]) -> None:
        if self.service.refuses is not None:
            raise Refused(self.service.refuses)
        assert self.run_id is not None
        self.service.runs[self.run_id] += [
            (step, tag, value) for step, _, scalars in reports for tag, value in scalars.items()
        ]

    def upload(self, artifact: Path) -> None:
        self.uploaded.append(artifact)

    def end(self, has_completed: bool) -> None:
        assert self.run_id is not None
        self.service.statuses[self.run_id] = "completed" if has_completed else "killed"


def reported(logger: RemoteLogger, *steps: int) -> None:
    source: Any = logger.sources[0]
    for logger.counter.steps in steps:
        source.now = {"loss": 1 / logger.counter.steps, "lr": 0.1}
        logger.epoch_end()


def saved_after(service: Service, saved: int, lost: int) -> dict[str, Any]:
    """The state after so many steps of an attempt that went on for some more."""
    logger = ToService(service)
    logger.train_start()
    reported(logger, *range(1, saved + 1))
    state = copy.deepcopy(logger.state_dict())
    reported(logger, *range(saved + 1, saved + lost + 1))
    logger.flush()
    return state


def test_a_run_is_told_and_ends() -> None:
    service = Service()
    logger = ToService(service)
    logger.train_start()
    reported(logger, 1, 2)
    logger.train_end()
    logger.close()
    assert service.runs == {
        "run 0": [(1, "loss", 1.0), (1, "lr", 0.1), (2, "loss", 0.5), (2, "lr", 0.1)]
    }
    assert service.statuses == {"run 0": "completed"}


@given(saved=st.integers(0, 5), lost=st.integers(0, 4), more=st.integers(0, 4))
def test_a_resumed_run_goes_on_as_the_same_with_each_step_once(
    saved: int, lost: int, more: int
) -> None:
    service = Service()
    state = saved_after(service, saved, lost)
    second = ToService(service)
    second.load_state_dict(state)
    second.train_start()
    reported(second, *range(saved + 1, saved + lost + more + 1))
    second.train_end()
    second.close()

    (told,) = service.runs.values()
    expected = {(step, tag) for step in range(1, saved + lost + more + 1) for tag in ("loss", "lr")}
    assert Counter((step, tag) for step, tag, _ in told) == Counter(expected)
    assert service.statuses == {"run 0": "completed"}


@given(saved=st.integers(1, 5), lost=st.integers(0, 4))
def test_a_state_of_another_directory_begins_a_run_of_its_own(saved: int, lost: int) -> None:
    service = Service()
    state = saved_after(service, saved, lost)
    before = list(service.runs["run 0"])
    branch = ToService(service, run_dir="b")
    branch.load_state_dict(state)
    branch.train_start()
    reported(branch, saved + 1)
    branch.train_end()
    branch.close()

    assert service.runs["run 0"] == before, "nothing is added to the run that it came from"
    assert [(step, tag) for step, tag, _ in service.runs["run 1"]] == [
        (step, tag) for step in range(1, saved + 2) for tag in ("loss", "lr")
    ]


def test_a_branch_that_is_resumed_goes_on_as_itself() -> None:
    service = Service()
    branch = ToService(service, run_dir="b")
    branch.load_state_dict(saved_after(service, 2, 0))
    branch.train_start()
    again = ToService(service, run_dir="b")
    again.load_state_dict(branch.state_dict())
    again.train_start()
    assert again.run_id == branch.run_id == "run 1"
    assert len(service.runs) == 2


def test_what_the_service_lost_is_sent_again() -> None:
    service = Service()
    state = saved_after(service, 3, 0)
    del service.runs["run 0"][2:4]
    second = ToService(service)
    second.load_state_dict(state)
    second.train_start()
    assert sorted({step for step, _, _ in service.runs["run 0"]}) == [1, 2, 3]


def test_a_state_of_an_earlier_version_goes_on_with_its_run() -> None:
    service = Service()
    state = saved_after(service, 2, 1)
    old = {key: value for key, value in state.items() if key not in ("run_dir", "record")}
    second = ToService(service)
    second.load_state_dict(old)
    second.train_start()
    reported(second, 3, 4)
    second.flush()
    assert [step for step, tag, _ in service.runs["run 0"] if tag == "loss"] == [1, 2, 3, 4]


def test_nothing_begins_before_the_training_does() -> None:
    service = Service()
    logger = ToService(service)
    reported(logger, 1)
    logger.state_dict()
    logger.close()
    assert service.runs == {}


def test_files_are_uploaded_once_the_training_has_ended(tmp_path: Path) -> None:
    (tmp_path / "weights").write_text("")
    given: Any = {"artifacts": [str(tmp_path / "weights"), tmp_path / "nowhere"]}
    whole, failed = ToService(Service(), **given), ToService(Service(), **given)
    for logger in (whole, failed):
        logger.train_start()
    whole.train_end()
    for logger in (whole, failed):
        logger.close()
    assert (whole.uploaded, failed.uploaded) == ([tmp_path / "weights"], [])
    assert failed.service.statuses == {"run 0": "killed"}


def test_an_error_of_the_service_is_told_in_a_line() -> None:
    logger = ToService(Service())
    logger.train_start()
    logger.service.refuses = "no\nbecause"
    with pytest.raises(ll.DataError, match=r"^the service did not accept the run \(no\)$"):
        reported(logger, 1)


@pytest.mark.parametrize(("error", "status"), [("gone", "running"), ("busy", "killed")])
def test_one_that_is_gone_is_not_asked_again_at_the_end(error: str, status: str) -> None:
    logger = ToService(Service())
    logger.train_start()
    logger.service.refuses = error
    with pytest.raises(ll.DataError):
        reported(logger, 1)
    logger.service.refuses = None
    logger.close()
    assert logger.service.statuses == {"run 0": status}


def test_a_run_that_failed_keeps_its_own_error(caplog: pytest.LogCaptureFixture) -> None:
    logger = ToService(Service())
    logger.train_start()
    logger.service.refuses = "busy"
    logger._record.append((1, 0.0, {"loss": 1.0}))
    logger.close()
    assert "the service did not accept the run (busy)" in caplog.text


def test_the_name_says_what_varied_and_the_group_is_the_sweep() -> None:
    job = Variation({"optimizer.lr": 0.1, "model.hidden": "[8]"}, Path("/here/sweeps/lr"))
    given: Any = {"run_dir": "/here/sweeps/lr/3", "variation": job}
    about = AboutRun.of(None, None, **given)
    assert (about.name, about.group) == ("3 lr=0.1,hidden=[8]", "sweeps/lr")
    assert AboutRun.of("mine", "ours", **given).name == "mine"
    assert AboutRun.of("mine", "ours", **given).group == "ours"
    assert AboutRun.of(None, None, run_dir="outputs/now").name == "now"
    assert AboutRun.of(None, None) == AboutRun()


@pytest.mark.parametrize("name", ["mlflow", "trackio", "wandb"])
def test_the_configuration_gives_each_its_directory_and_what_varied(name: str) -> None:
    blueprint = blueprint_of("data=xor", "model=logistic", f"loggers=[{name}]")
    call = blueprint.components[name]
    assert call.values["run_dir"] == blueprint.settings.run_dir
    assert call.dependencies["variation"] == "variation"
    assert blueprint.variation.label == "data=xor,model=logistic"
