"""A run again from its own record: the same bits, or a line for each thing that differs."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import OmegaConf

from legoloop.state.run_record import read_record
from tests.app.command import (
    SMALL,
    Command,
    Ended,
    beside_bricks_of_a_user,
    in_a_process,
)
from tests.zoo.idx_writing import images_of, labels_of, write_pair

pytestmark = pytest.mark.slow  # the command, again and again

DIGITS = (
    "num_epochs=2",
    "epoch_size=100",
    "eval_samples=50",
    "device=cpu",
    "loggers=[csv]",
    "model.channels=[4,8]",
    "model.hidden=16",
)


def digests(run: Path) -> dict[str, str]:
    return {
        name: hashlib.sha256((run / name).read_bytes()).hexdigest()
        for name in ("weights", "predicts.csv", "metrics.csv")
        if (run / name).exists()
    }


def differing(ended: Ended) -> list[str]:
    """The lines that tell what differs."""
    assert (ended.status, ended.err) == (0, "")
    return [line for line in ended.out.splitlines() if "differs" in line]


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.fixture(scope="module")
def a_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a run on digits whose model has dropout."""
    here = tmp_path_factory.mktemp("here")
    assert in_a_process(here, *DIGITS, "hydra.run.dir=run").status == 0
    return here / "run"


@pytest.fixture(scope="module")
def a_small_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    here = tmp_path_factory.mktemp("here")
    assert in_a_process(here, *SMALL, "loggers=[]", "hydra.run.dir=run").status == 0
    return here / "run"


@pytest.fixture
def command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Command:
    return beside_bricks_of_a_user(tmp_path, monkeypatch, capfd)


@pytest.fixture
def run(a_run: Path, command: Command) -> Path:
    """A copy of it, beside the command."""
    return shutil.copytree(a_run, command.here / "then")


@pytest.fixture
def small(a_small_run: Path, command: Command) -> Path:
    return shutil.copytree(a_small_run, command.here / "then")


def test_the_same_bits_in_a_fresh_process_and_again_from_that(run: Path, command: Command) -> None:
    before = contents(run)
    ended = in_a_process(command.here, "rerun=then", "hydra.run.dir=once", fresh=True)
    assert differing(ended) == ["nothing differs from then"]
    assert ended.out.splitlines()[0] == "run directory: once"
    once, twice = command.here / "once", command.here / "twice"
    assert differing(command("rerun=once", "hydra.run.dir=twice")) == ["nothing differs from once"]
    assert digests(run) == digests(once) == digests(twice)
    assert {"weights", "predicts.csv"} <= digests(run).keys()
    assert contents(run) == before
    assert "nothing differs from once" in (twice / "run.log").read_text()


def test_the_record_tells_where_the_run_is_from(small: Path, command: Command) -> None:
    assert command("rerun=then", "seed=3", "hydra.run.dir=now").status == 0
    now = command.here / "now"
    assert read_record(now)["overrides"] == ["rerun=then", "seed=3"]
    assert OmegaConf.load(now / ".hydra" / "overrides.yaml") == ["rerun=then", "seed=3"]
    tree = OmegaConf.load(now / "config.yaml")
    assert (tree["rerun"], tree.seed, tree.data.seed) == ("then", 3, 3)


def test_every_override_is_told_once_and_what_refers_to_it_is_not(
    run: Path, command: Command
) -> None:
    changed = ("optimizer.lr=0.01", "seed=4", "+optimizer.eps=1e-6", "~model.dropout")
    assert differing(command("rerun=then", *changed)) == [
        "differs: seed: 0 → 4",
        "differs: model.dropout: 0.5 → nothing",
        "differs: optimizer.lr: 0.001 → 0.01",
        "differs: optimizer.eps: nothing → 1e-06",
    ]
    assert digests(command.directory()).keys() == digests(run).keys()
    assert digests(command.directory()) != digests(run)


def test_the_same_value_is_no_difference(run: Path, command: Command) -> None:
    ended = command("rerun=then", "optimizer.lr=1e-3", "++seed=0")
    assert differing(ended) == ["nothing differs from then"]
    assert digests(command.directory()) == digests(run)


def write_digits(root: Path) -> None:
    write_pair(root, images_of(40), labels_of(40), "train")
    write_pair(root, images_of(20, first=7), labels_of(20), "t10k")


def test_augmented_data_and_a_byte_of_them_that_changed(command: Command) -> None:
    root = command.here / "data"
    write_digits(root)
    mnist = ("data=mnist", *DIGITS, "epoch_size=40", "data.loaders.default.batch_size=8")
    assert command(*mnist, "hydra.run.dir=then").status == 0
    sources = read_record(command.here / "then")["data_sources"]
    assert sources == dict.fromkeys(("train", "val", "val_real"), str(root))
    log = (command.here / "then" / "run.log").read_text()
    assert f"the data set 'train' comes from {root}" in log
    ended = command("rerun=then", "hydra.run.dir=now")
    assert differing(ended) == ["nothing differs from then"]
    assert digests(command.here / "now") == digests(command.here / "then")
    file = root / "train-images-idx3-ubyte"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    (line,) = differing(command("rerun=then"))
    before, now = (
        read_record(directory)["data"]["train"]
        for directory in (command.here / "then", command.directory())
    )
    assert line == f"differs: data train: {before} → {now}"


def test_code_versions_and_hardware_that_differ_are_told(small: Path, command: Command) -> None:
    record = read_record(small)
    record["versions"]["torch"] = "1.0"
    record["hardware"]["threads"] = 77
    record["git"] = {"commit": "1a2b3c4", "dirty": True}
    (small / "run.json").write_text(json.dumps(record))
    (small / "git.diff").write_text("-1\n+2\n")
    assert differing(command("rerun=then")) == [
        "differs: code commit: 1a2b3c4 → nothing",
        "differs: code dirty: True → nothing",
        "differs: code git.diff: 2 lines → 0 lines",
        f"differs: versions torch: 1.0 → {torch.__version__}",
        f"differs: hardware threads: 77 → {torch.get_num_threads()}",
    ]


def test_data_of_which_the_record_tells_nothing_are_not_told(small: Path, command: Command) -> None:
    record = read_record(small)
    del record["data"]
    (small / "run.json").write_text(json.dumps(record))
    assert differing(command("rerun=then")) == ["nothing differs from then"]


def test_paths_in_the_run_directory_are_in_the_new_one(small: Path, command: Command) -> None:
    shutil.rmtree(small / ".hydra")  # nothing tells by now that they referred to run_dir
    before = contents(small)
    assert command("rerun=then", "hydra.run.dir=now").status == 0
    assert contents(small) == before
    text = (command.here / "now" / "config.yaml").read_text()
    recorded = str(OmegaConf.load(small / "config.yaml").run_dir)
    assert recorded not in text
    assert digests(command.here / "now") == digests(small)


def test_an_option_takes_the_place_of_what_its_group_gave(run: Path, command: Command) -> None:
    ended = command("rerun=then", "optimizer=sgd", "optimizer.lr=0.5", "show=config")
    tree = OmegaConf.create(ended.out)
    assert tree.optimizer == {
        "_target_": "torch.optim.SGD",
        "lr": 0.5,
        "momentum": 0.9,
        "weight_decay": 0.0,
        "nesterov": False,
        "fused": True,
    }
    assert tree.model.hidden == 16


def shown(command: Command, *overrides: str) -> Any:
    ended = command("rerun=then", "show=config", *overrides)
    assert (ended.status, ended.err) == (0, "")
    return OmegaConf.create(ended.out)


def test_options_bring_and_take_away_bricks_elsewhere(run: Path, command: Command) -> None:
    recorded = OmegaConf.load(run / "config.yaml")
    without = shown(command, "scheduler=none")
    assert recorded.plugins.keys() - without.plugins.keys() == {"lr_scheduler"}
    assert not without.scheduler
    assert shown(command, "~scheduler").plugins.keys() == without.plugins.keys()
    more = shown(command, "plugins=[default,checkpoints,early_stopping]").plugins
    assert more.keys() - {"checkpoints"} == recorded.plugins.keys() - {"checkpoints"} | {
        "early_stopping"
    }
    assert shown(command, "loggers=[]").loggers == {}
    assert shown(command, "debug=fast").epoch_size == 128


def test_an_option_that_chooses_others_does_so_here_too(run: Path, command: Command) -> None:
    tree = shown(command, "data=xor")
    assert tree.model._target_.endswith(".MLP")
    assert "channels" not in tree.model
    assert tree.metrics._target_.endswith(".binary")
    assert tree.num_epochs == 2


def test_an_option_of_ones_own(run: Path, command: Command) -> None:
    mine = command.here / "conf" / "optimizer" / "mine.yaml"
    mine.parent.mkdir(parents=True)
    mine.write_text("_target_: torch.optim.SGD\nlr: 0.25\n")
    tree = shown(command, "optimizer=mine", "--config-dir=conf")
    assert tree.optimizer == {"_target_": "torch.optim.SGD", "lr": 0.25}


def test_the_plan_names_the_record(run: Path, command: Command) -> None:
    ended = command("rerun=then", "optimizer=sgd", "model.hidden=8", "show=plan")
    assert ended.status == 0
    lines = {line.split()[0]: line.split()[-1] for line in ended.out.splitlines() if "(" in line}
    assert lines["model"] == "(then/config.yaml)"
    assert lines["optimizer"] == "(conf/optimizer/sgd.yaml)"


def test_a_sweep_from_a_run(small: Path, command: Command) -> None:
    ended = command("-m", "rerun=then", "seed=0,1", "model=logistic", "hydra.sweep.dir=sweep")
    assert ended.status == 0
    jobs = [command.here / "sweep" / job for job in "01"]
    said = "".join((job / "output.log").read_text() for job in jobs)
    told = [line for line in said.splitlines() if "differs" in line]
    assert told == ["nothing differs from then", "differs: seed: 0 → 1"]
    assert digests(jobs[0]) == digests(small) != digests(jobs[1])
    assert read_record(jobs[1])["overrides"] == ["rerun=then", "seed=1", "model=logistic"]


REFUSALS = {
    "no folder": (["rerun=nothing"], "nothing: no run directory, it has no config.yaml; "),
    "no run": (["rerun=."], ".: no run directory, it has no config.yaml; "),
    "nothing named": (["rerun="], "rerun: is ''; give one run directory"),
    "a number": (["rerun=3"], "rerun: is '3'; give one run directory"),
    "two": (["rerun=then,then"], "rerun: is 'then,then'; give one run directory"),
    "a sweep over runs": (["-m", "rerun=then,then"], "rerun: is 'then,then'; give one run "),
    "a sweep over options": (
        ["-m", "rerun=then", "optimizer=adam,sgd"],
        "optimizer=adam,sgd: a sweep with rerun goes over keys, not options; choose one ",
    ),
    "values without -m": (
        ["rerun=then", "seed=1,2"],
        "seed (command line): has several values; add -m for a run of each; ",
    ),
    "another primary": (["rerun=then", "--config-name=mine"], "rerun: stands in the place of a "),
    "an option": (
        ["rerun=then", "optimizer=sgdd"],
        "optimizer=sgdd: there is no such option; did ",
    ),
    "a misspelt key": (
        ["rerun=then", "model.hiden=3"],
        "model.hiden (command line): there is no such key or group; to add it, write +model.hiden=",
    ),
    "a key that nobody takes": (
        ["rerun=then", "+model.depth=3"],
        "model.depth (command line): legoloop.zoo.models.Logistic takes no 'depth'; ",
    ),
    "a value": (
        ["rerun=then", "data.loaders.default.batch_size=0"],
        "data.loaders.default.batch_size (command line): is 0; give a whole number of at least 1",
    ),
    "what no longer fits": (
        ["rerun=then", "~optimizer"],
        "plugins.learning_rate.optimizer (then/config.yaml): ",
    ),
    "no override": (["rerun='then"], "rerun='then: is not an override; write "),
    "the run itself": (["rerun=then", "hydra.run.dir=then"], "hydra.run.dir (command line): "),
}


@pytest.mark.parametrize(("arguments", "message"), REFUSALS.values(), ids=REFUSALS)
def test_a_mistake_costs_a_message_and_nothing_else(
    arguments: list[str], message: str, small: Path, command: Command
) -> None:
    before = contents(command.here)
    ended = command(*arguments)
    assert (ended.status, ended.out) == (2, "")
    assert ended.err.startswith(f"error: {message}"), ended.err
    assert ended.err.count("\n") == 1
    assert contents(command.here) == before


DAMAGE = {
    "config.yaml": [b"a: [", b"- 1\n", b"seed: 0\n", b"", b"\xff\xfe\xfa"],
    ".hydra/config.yaml": [b"a: [", b"- 1\n", b"\xff\xfe\xfa"],
    "run.json": [b"", b"{", b"[]", b"{}", b"\xff\xfe\xfa"],
}


@pytest.mark.parametrize(("file", "damage"), [(name, d) for name in DAMAGE for d in DAMAGE[name]])
def test_a_damaged_record(file: str, damage: bytes, small: Path, command: Command) -> None:
    (small / file).write_bytes(damage)
    before = contents(command.here)
    ended = command("rerun=then")
    assert (ended.status, ended.out) == (2, "")
    assert ended.err.startswith("error: then")
    assert Path(file).name in ended.err
    assert ended.err.count("\n") == 1
    assert contents(command.here) == before


def test_an_app_of_ones_own_is_fed_what_it_was_fed(command: Command) -> None:
    app = ("app=mine.App", "num_epochs=0", "epoch_size=1", "seed=5")
    assert command(*app, "hydra.run.dir=then").status == 0
    mine = command.here.parent / "package" / "mine.py"
    declared = 'config.from_dict({"num_epochs": 7, "seed": 8, "more": 9})'
    text = mine.read_text().replace(
        "    counter = providers", f"    {declared}\n    counter = providers", 1
    )
    assert declared in text
    mine.write_text(text)
    ended = in_a_process(command.here, "rerun=then", "hydra.run.dir=now")
    assert differing(ended) == ["differs: more: nothing → 9"]
    tree = OmegaConf.load(command.here / "now" / "config.yaml")
    assert (tree.num_epochs, tree.seed, tree.more) == (0, 5, 9)
    ended = command("rerun=then", "eval_samples=3")
    assert (ended.status, ended.out) == (2, "")
    assert ended.err.startswith("error: eval_samples (command line): mine.App does not read this ")
