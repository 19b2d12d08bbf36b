from __future__ import annotations

from pathlib import Path

import pytest

from tests.app.command import SMALL, Command

EXPERIMENTS = Path(__file__).parents[3] / "experiments"


@pytest.fixture
def command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Command:
    return Command(tmp_path, monkeypatch, capfd)


@pytest.mark.parametrize("added", [[], ["plugins=[default,checkpoints,early_stopping]"]])
def test_the_table_is_the_one_of_the_run(command: Command, added: list[str]) -> None:
    shown = command(*SMALL, *added, "show=plan").out
    assert command.files() == []
    command(*SMALL, *added)
    plan = (command.directory() / "plan.txt").read_text()
    assert shown.split("\n\n")[1].rstrip() == plan.rstrip()


def test_each_brick_with_its_class_file_and_parts(command: Command) -> None:
    bricks = command(*SMALL, "show=plan", "optimizer=sgd").out.split("\n\n")[0].splitlines()
    at = next(n for n, line in enumerate(bricks) if line.startswith("optimizer "))
    assert bricks[at].split() == ["optimizer", "torch.optim.SGD", "(conf/optimizer/sgd.yaml)"]
    assert bricks[at + 1].split() == ["given", "params"]
    descent = next(n for n, line in enumerate(bricks) if line.startswith("plugins.descent "))
    assert bricks[descent + 1].strip() == "given opt=optimizer, model, feed, loss"


def test_a_plan_touches_neither_data_nor_device(command: Command) -> None:
    ended = command("show=plan", "data=mnist", "device=cuda:7", "data.root=/nowhere")
    assert (ended.status, ended.err) == (0, "")
    assert "data.datasets.val_real" in ended.out


def test_the_resolved_tree(command: Command) -> None:
    ended = command(*SMALL, "show=config", "num_epochs=7")
    assert ended.status == 0
    assert "    num_epochs: 7" in ended.out.splitlines(), "where the last epoch is told"
    assert "${" not in ended.out


def test_the_schedule_without_training(command: Command) -> None:
    shown = command(*SMALL, "show=schedule", "scheduler=warmup_linear", "num_epochs=4")
    assert (shown.status, shown.err) == (0, "")
    first, second, *plot = shown.out.splitlines()
    assert first == "lr_scheduler: WarmupSchedule, moved once per step; 4 epochs, 8 steps"
    assert second == "first 0.001, greatest 0.001 at step 0, last 0.000125"
    assert plot[0].split("|") == ["   0.001 ", "*"]
    assert plot[-1].split("|") == ["0.000125 ", "       *"]
    assert command.files() == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["scheduler=plateau"],
            "show (command line): there is no curve: the rate stays as it is, or follows what is "
            "measured",
        ),
        (
            ["scheduler=cosine", "num_epochs=0"],
            "show (command line): there is no curve: the training has no step",
        ),
    ],
)
def test_a_schedule_that_cannot_be_shown(
    arguments: list[str], message: str, command: Command
) -> None:
    ended = command(*SMALL, *arguments, "show=schedule")
    assert (ended.status, ended.out) == (2, "")
    assert ended.err.startswith(f"error: {message}")


def test_a_wrong_tree_is_refused_instead_of_shown(command: Command) -> None:
    ended = command("show=plan", "+optimizer.lrr=1")
    assert ended.status == 2
    assert ended.out == ""


def test_one_run_is_shown_not_a_sweep(command: Command) -> None:
    ended = command("-m", "show=plan", "seed=0,1")
    assert ended.status == 2
    assert ended.err.strip() == "error: show (command line): shows one run; leave out -m"
    assert command.files() == []


def test_the_plan_of_an_app_of_ones_own_is_not_that_of_the_tree(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(EXPERIMENTS / "own_container")
    ended = command("app=digits_app.DigitsApp", "show=plan")
    assert (ended.status, ended.out) == (2, "")
    assert ended.err.strip() == (
        "error: show (command line): plan is known for the components of the tree, not for those "
        "of your app; for your app use print(host.plan.table())"
    )
    shown = command("app=digits_app.DigitsApp", "show=config", "num_epochs=3")
    assert shown.status == 0
    assert "num_epochs: 3" in shown.out.splitlines()
