"""The weights of a run, evaluated again: the same as at its end, or on what overrides say."""

from __future__ import annotations

import json
import pickle
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from dependency_injector import containers, providers
from omegaconf import OmegaConf
from torch import nn

import legoloop as ll
from legoloop import evaluate
from legoloop.app.hydra_bridge.job_config import to_plain
from legoloop.app.hydra_bridge.recorded_config import apply_overrides, recorded_tree
from legoloop.app.run.trained_weights import load_weights
from legoloop.core.errors import ConfigError
from legoloop.evaluation.metrics import multiclass
from legoloop.state.run_record import read_record
from legoloop.zoo.toy_data import digits
from tests.app.command import Command, Ended, environment, in_a_process

SMALL = ("num_epochs=1", "epoch_size=200", "eval_samples=50", "device=cpu", "loggers=[]")
MODEL = ("model.channels=[4,8]", "model.hidden=16", "model.dropout=0.3")


@pytest.fixture(scope="module")
def a_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a completed run on digits."""
    here = tmp_path_factory.mktemp("here")
    ended = in_a_process(here, *SMALL, *MODEL, "hydra.run.dir=run")
    assert (ended.status, ended.err) == (0, "")
    return here / "run"


@pytest.fixture
def run(a_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it, at another place than it was made in."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LEGOLOOP_DATA", raising=False)
    shutil.copytree(a_run, tmp_path / "moved")
    return Path("moved")


@pytest.fixture
def command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Command:
    return Command(tmp_path, monkeypatch, capfd)


def evaluated(capfd: pytest.CaptureFixture[str], *arguments: object) -> Ended:
    """How the command ends in this process."""
    capfd.readouterr()
    status = 0
    try:
        evaluate.main([str(argument) for argument in arguments])
    except SystemExit as ended:
        status = int(ended.code or 0)
    return Ended(status, *capfd.readouterr())


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def finals(run: Path) -> dict[str, float]:
    """What a run logged at its end."""
    final: dict[str, float] = read_record(run)["final"]
    return {tag: value for tag, value in final.items() if tag.startswith("final/")}


def scalars(output: Path) -> dict[str, float]:
    found: dict[str, float] = json.loads((output / "metrics.json").read_text())
    return found


@pytest.mark.slow
def test_an_unchanged_run_in_a_fresh_process_gives_the_same_bits(run: Path) -> None:
    before = contents(run)
    done = subprocess.run(
        [sys.executable, "-m", "legoloop.evaluate", str(run)],
        env=environment(),
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")
    (output,) = (run / "evaluations").iterdir()
    assert done.stdout.splitlines()[-1] == f"written: {output}"
    assert {file.name for file in output.iterdir()} == {
        "config.yaml",
        "metrics.json",
        "predicts.csv",
        "targets.csv",
    }
    assert scalars(output) == finals(run) != {}
    for name in ("predicts.csv", "targets.csv"):
        assert (output / name).read_bytes() == before[name]
    assert {name: data for name, data in contents(run).items() if name in before} == before
    assert [line.split()[0] for line in done.stdout.splitlines()[:-1]] == [*scalars(output)]


def test_other_data_through_an_override(run: Path, capfd: pytest.CaptureFixture[str]) -> None:
    swapped = ("data.datasets.val.train=true", "data.datasets.train.train=false")
    assert evaluated(capfd, run, *swapped, "--output", "out").status == 0
    swap = {"train": "val", "val": "train"}
    for tag, value in finals(run).items():
        _, name, metric = tag.split("/")
        assert scalars(Path("out"))[f"final/{swap[name]}/{metric}"] == value
    assert len(pd.read_csv("out/predicts.csv")) == len(digits(train=True))
    assert OmegaConf.load("out/config.yaml").data.datasets.val.train is True


def test_a_data_set_more(run: Path, capfd: pytest.CaptureFixture[str]) -> None:
    more = "+data.datasets.more={_target_: legoloop.zoo.toy_data.digits, train: false}"
    assert evaluated(capfd, run, "--on", "more", more, "--output", "out").status == 0
    assert scalars(Path("out")) == {
        tag.replace("val", "more"): value for tag, value in finals(run).items() if "/val/" in tag
    }
    assert sorted(contents(Path("out"))) == [
        *("config.yaml", "metrics.json", "predicts_more.csv", "targets_more.csv"),
    ]
    assert Path("out/predicts_more.csv").read_bytes() == (run / "predicts.csv").read_bytes()


def test_data_sets_that_are_named_are_measured_and_predicted(
    run: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert evaluated(capfd, run, "--on", "train,val", "--output", "new/out").status == 0
    out = Path("new/out")
    assert scalars(out) == finals(run)
    for file, train in {"predicts.csv": False, "predicts_train.csv": True}.items():
        assert pd.read_csv(out / file)["idx"].tolist() == digits(train).columns["idx"].tolist()


def test_a_run_that_predicts_nothing_is_measured(
    run: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert evaluated(capfd, run, "~plugins.predicts", "--output", "out").status == 0
    assert sorted(contents(Path("out"))) == ["config.yaml", "metrics.json"]


REFUSALS = {
    "no run": (["nothing"], "nothing: no run directory, it has no config.yaml; "),
    "a folder of something else": (["."], ".: no run directory, it has no config.yaml; "),
    "a data set": (
        ["moved", "--on", "vall"],
        "--on: no data set 'vall' is evaluated; did you mean ",
    ),
    "an output": (["moved", "--output", "moved"], "--output: moved exists already; choose another"),
    "another place": (
        ["moved", "run_dir=out"],
        "run_dir: where an evaluation writes is said with ",
    ),
    "an output that cannot be": (
        ["moved", "--output", "moved/weights/out"],
        "--output: moved/weights/out cannot be made (",
    ),
    "a shape": (
        ["moved", "model.hidden=17"],
        "moved/weights: these are not the weights of this model: hidden.2.weight is (16, ",
    ),
    "another model": (["moved", "model=mlp"], "moved/weights: these are not the weights of this "),
    "data that tell less": (["moved", "data=xor"], "model.image_shape (moved/config.yaml): "),
    "an option": (
        ["moved", "data=minst"],
        "data=minst: there is no such option; did you mean mnist?",
    ),
    "a group of many nodes": (
        ["moved", "experiment=mnist"],
        "experiment: what this group sets has ",
    ),
    "a misspelt key": (["moved", "data.predikt=val"], "data.predikt (command line): there is no "),
    "a key that nobody takes": (
        ["moved", "+model.depth=3"],
        "model.depth (command line): legoloop.zoo.models.SimpleCNN takes no 'depth'; ",
    ),
    "a value": (
        ["moved", "data.loaders.default.batch_size=0"],
        "data.loaders.default.batch_size (command line): is 0; give a whole number of at least 1",
    ),
    "a broken reference": (
        ["moved", "data=null"],
        "plugins.predicts.acc_key (moved/config.yaml): ",
    ),
    "a sweep": (["moved", "seed=1,2"], "seed=1,2: gives several values; an evaluation takes one"),
    "a folder of groups": (["moved", "--config-dir", "none"], "--config-dir: none is no folder"),
    "no override": (["moved", "data"], "data: is not an override; write data=…"),
    "nothing to ask": (
        ["moved", "~plugins.loaders_metrics"],
        "plugins (command line): there is no model, or no AccumulatorMetrics of a LoadersAcc; ",
    ),
}


@pytest.mark.parametrize(("arguments", "message"), REFUSALS.values(), ids=REFUSALS)
def test_a_mistake_costs_a_message_and_nothing_else(
    arguments: list[str], message: str, run: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    before = contents(Path.cwd())
    ended = evaluated(capfd, *arguments)
    assert (ended.status, ended.out) == (2, "")
    assert ended.err.startswith(f"error: {message}"), ended.err
    assert ended.err.count("\n") == 1
    assert contents(Path.cwd()) == before
    assert not (run / "evaluations").exists()


def test_predictions_that_fail_leave_nothing_behind(
    run: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    before = contents(Path.cwd())
    ended = evaluated(capfd, run, "+plugins.predicts.index=target")
    assert (ended.status, ended.out) == (1, "")
    assert ended.err.startswith("error: target 0 occurs ")
    assert contents(Path.cwd()) == before
    assert not (run / "evaluations").exists()


def test_data_that_are_not_there(run: Path, capfd: pytest.CaptureFixture[str]) -> None:
    idx = "{_target_: legoloop.zoo.idx_files.read_idx, path: gone}"
    ended = evaluated(capfd, run, f"+data.datasets.more={idx}")
    assert ended.status == 1
    assert ended.err.startswith("error: ")
    assert "gone" in ended.err
    assert "Traceback" not in ended.err


def test_weights_and_predictions_are_those_that_the_run_names(
    command: Command, capfd: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("safetensors")
    pytest.importorskip("pyarrow")
    named = (
        "plugins.model_weights.path=${run_dir}/kept/last.safetensors",
        "plugins.predicts._target_=legoloop.Predictions",
        "plugins.predicts.path=${run_dir}/logits.parquet",
    )
    assert command(*SMALL, *MODEL, *named, "hydra.run.dir=run").status == 0
    run = (command.here / "run").rename(command.here / "moved")

    ended = evaluated(capfd, run, "--output", command.here / "out")

    assert (ended.status, ended.err) == (0, "")
    out = contents(command.here / "out")
    assert sorted(out) == ["config.yaml", "logits.parquet", "metrics.json", "targets.csv"]
    assert scalars(command.here / "out") == finals(run) != {}
    assert out["logits.parquet"] == (run / "logits.parquet").read_bytes()


def test_weights_that_are_not_beside_the_record_are_found(
    command: Command, capfd: pytest.CaptureFixture[str]
) -> None:
    apart = command.here / "apart.pt"
    path = f"plugins.model_weights.path={apart}"
    assert command(*SMALL, *MODEL, path, "hydra.run.dir=run").status == 0
    assert evaluated(capfd, command.here / "run", "--output", command.here / "out").status == 0
    assert scalars(command.here / "out") == finals(command.here / "run") != {}
    apart.unlink()
    ended = evaluated(capfd, command.here / "run")
    assert ended.status == 2
    assert "holds no weights; its status is COMPLETED" in ended.err


def test_a_run_that_failed_has_no_weights(
    command: Command, capfd: pytest.CaptureFixture[str]
) -> None:
    missing = "+accumulators.missing={_target_: legoloop.NumpyAccumulator, _partial_: true}"
    assert command(*SMALL, *MODEL, missing, "hydra.run.dir=run").status == 1
    ended = evaluated(capfd, command.here / "run")
    assert (ended.status, ended.out) == (2, "")
    assert ended.err == (
        f"error: {command.here / 'run'}: holds no weights; its status is FAILED; they are written "
        "when a run completes; what there is: checkpoints/0\n"
    )


class Harmful:
    """Would leave a file behind when it is unpickled."""

    def __reduce__(self) -> Any:
        return Path.touch, (Path("harm"),)


@pytest.mark.parametrize(
    "damage",
    [
        b"",
        b"these are no weights",
        pickle.dumps(Harmful()),
        lambda file: torch.save(Harmful(), file),
        lambda file: torch.save([1], file),
        lambda file: file.write_bytes(file.read_bytes()[:-300]),
    ],
    ids=["empty", "text", "a pickle", "a pickle of torch's", "a list", "cut short"],
)
def test_damaged_weights(damage: Any, run: Path, capfd: pytest.CaptureFixture[str]) -> None:
    if isinstance(damage, bytes):
        (run / "weights").write_bytes(damage)
    else:
        damage(run / "weights")
    ended = evaluated(capfd, run)
    assert (ended.status, ended.out) == (1, "")
    assert ended.err.startswith("error: moved/weights: holds ")
    assert ended.err.count("\n") == 1
    assert not Path("harm").exists()


DAMAGE = {
    "config.yaml": [b"a: [", b"- 1\n", b"just a text", b"seed: 0\n", b"", b"\0", b"\xff\xfe\xfa"],
    ".hydra/config.yaml": [b"a: [", b"- 1\n", b"\0", b"\xff\xfe\xfa"],
}


@pytest.mark.parametrize(("file", "damage"), [(name, d) for name in DAMAGE for d in DAMAGE[name]])
def test_a_damaged_record(
    file: str, damage: bytes, run: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (run / file).write_bytes(damage)
    ended = evaluated(capfd, run)
    assert (ended.status, ended.out) == (2, "")
    assert ended.err.startswith(f"error: moved/{file}: ")
    assert ended.err.count("\n") == 1


def test_a_run_without_hydras_record(run: Path, capfd: pytest.CaptureFixture[str]) -> None:
    shutil.rmtree(run / ".hydra")
    assert evaluated(capfd, run, "--output", "out").status == 0
    assert scalars(Path("out")) == finals(run)


def recorded(values: dict[str, Any], composed: dict[str, Any]) -> Any:
    """The tree of a run that recorded these values and was composed so."""
    run = Path("recorded")
    (run / ".hydra").mkdir(parents=True)
    needed = {"seed": 3, "device": "cpu", "run_dir": "/then"}
    OmegaConf.save(OmegaConf.create({**needed, **values}), run / "config.yaml")
    raw = {**needed, "run_dir": "${hydra:runtime.output_dir}", **composed}
    OmegaConf.save(OmegaConf.create(raw), run / ".hydra" / "config.yaml")
    return recorded_tree(run)


@pytest.fixture
def _somewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("_somewhere")
def test_overrides_travel_through_references() -> None:
    tree = recorded(
        {
            "width": 8,
            "model": {"hidden": [8, 1, 8]},
            "file": "/then/x",
            "whole": {"hidden": [8, 1, 8]},
        },
        {
            "width": 8,
            "model": {"hidden": ["${width}", 1, "${width}"]},
            "file": "${run_dir}/x",
            "whole": "${model}",
        },
    )
    assert apply_overrides(tree, ["width=4", "run_dir=/now"]) == ["width", "run_dir"]
    assert tree.model.hidden == [4, 1, 4] == tree.whole.hidden
    assert tree.file == "/now/x"


@pytest.mark.usefixtures("_somewhere")
def test_a_reference_that_gives_something_else_by_now_is_left_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PLACE", "now")
    tree = recorded(
        {"place": "then", "day": "Monday", "rate": 0.5, "name": 1, "new": 2},
        {
            "place": "${oc.env:PLACE}",
            "day": "${hydra:job.name}",
            "rate": "${gone}",
            "name": "${seed}",
        },
    )
    apply_overrides(tree, ["seed=9"])
    assert tree == {
        "seed": 9,
        "device": "cpu",
        "run_dir": "/then",
        "place": "then",
        "day": "Monday",
        "rate": 0.5,
        "name": 1,
        "new": 2,
    }


def test_the_references_of_a_run_stand(run: Path) -> None:
    tree = recorded_tree(run)
    assert to_plain(tree) == OmegaConf.load(run / "config.yaml")
    apply_overrides(tree, ["seed=5", "num_epochs=7"])
    assert (tree.data.seed, tree.scheduler.T_max, tree.plugins.last.num_epochs) == (5, 7, 7)


def test_an_option_takes_the_place_of_its_node_alone(run: Path) -> None:
    tree, before = recorded_tree(run), recorded_tree(run)
    assert apply_overrides(tree, ["data.root=there", "data=mnist"]) == ["data.root", "data"]
    assert tree.data.datasets.val_real.root == "there"
    assert tree.data.datasets.train._target_ == "legoloop.zoo.mnist.mnist"
    apply_overrides(tree, ["data=xor"])
    assert tree.data.datasets.train._target_ == "legoloop.zoo.toy_data.xor"
    assert {**tree, "data": None} == {**before, "data": None}


@pytest.mark.parametrize("folder", ["mine", "a, b (c)'s"])
def test_an_option_of_ones_own(run: Path, folder: str, capfd: pytest.CaptureFixture[str]) -> None:
    mine = Path(folder, "data", "swapped.yaml")
    mine.parent.mkdir(parents=True)
    mine.write_text(
        "# @package _global_\ndefaults: [digits]\ndata:\n  datasets:\n    val:\n      train: true\n"
    )
    arguments = (run, "data=swapped", "--config-dir", folder, "--on", "val", "--output", "out")
    assert evaluated(capfd, *arguments).status == 0
    assert len(pd.read_csv("out/predicts.csv")) == len(digits(train=True))


class Net(nn.Module):
    """The size of its hidden layer comes from the first batch."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Flatten(), nn.LazyLinear(width), nn.ReLU(), nn.Linear(width, 10)
        )

    def forward(self, batch: Any) -> Any:
        return {"logits": self.layers(batch["image"])}


class Own(containers.DeclarativeContainer):
    """With the parts that an evaluation asks for, at the end of each epoch."""

    config = providers.Configuration()
    config.from_dict({"num_epochs": 1, "width": 8, "optimizer": {"lr": 0.1}})
    data = providers.Container(
        ll.Data,
        config=config.data,
        datasets=providers.Dict(
            train=providers.Singleton(digits, train=True),
            val=providers.Singleton(digits, train=False),
        ),
    )
    model = providers.Singleton(Net, config.width)
    loaders_acc = providers.Singleton(
        ll.LoadersAcc,
        data.loaders,
        model,
        providers.Object(
            ll.CompositeFactory(
                logits=ll.NumpyAccumulator, target=ll.NumpyAccumulator, idx=ll.NumpyAccumulator
            )
        ),
        feed=providers.Singleton(ll.Feed, model, device="cpu"),
        when="epoch_end",
        datasets=["val"],
    )
    loaders_metrics = providers.Singleton(
        ll.AccumulatorMetrics, loaders_acc, method=providers.Object(multiclass)
    )
    predicts = providers.Singleton(
        ll.CsvLogits,
        providers.Singleton(Path, config.run_dir).provided.joinpath.call("predicts.csv"),
        loaders_acc,
        "val",
    )
    counter = providers.Singleton(ll.Counter)
    history = providers.Singleton(ll.History, counter, loaders_metrics)
    weights = providers.Singleton(
        ll.SaveModelWeights,
        model,
        providers.Singleton(Path, config.run_dir).provided.joinpath.call("weights"),
    )
    epoch = providers.Singleton(ll.SimpleEpoch, data.loop_iters.provided["train"], 100)
    last = providers.Singleton(ll.LastEpoch, counter, config.num_epochs)
    host = providers.Singleton(
        ll.TrainingHost,
        plugins=providers.List(
            counter, epoch, last, loaders_acc, loaders_metrics, history, predicts, weights
        ),
    )


class Less(containers.DeclarativeContainer):
    config = providers.Configuration()
    host = providers.Singleton(dict)


@pytest.fixture
def own_run(command: Command, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setitem(sys.modules, "apps", sys.modules[__name__])
    ended = command("app=apps.Own", "seed=4", "+width=6", "hydra.run.dir=run")
    assert (ended.status, ended.err) == (0, "")
    return command.here / "run"


def test_a_container_of_ones_own(own_run: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert evaluated(capfd, own_run, "--output", own_run / "out").status == 0
    assert scalars(own_run / "out") == read_record(own_run)["final"] != {}
    assert (own_run / "out/predicts.csv").read_bytes() == (own_run / "predicts.csv").read_bytes()
    ended = evaluated(capfd, own_run, "width=5")
    assert ended.status == 2
    assert "layers.3.weight is (10, 6) in the file and (10, 5) in the model" in ended.err


def test_the_record_stands_whatever_the_container_says_by_now(
    own_run: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    Own.config.from_dict({"width": 7})
    try:
        assert evaluated(capfd, own_run, "--output", own_run / "out").status == 0
    finally:
        Own.config.from_dict({"width": 8})
    assert scalars(own_run / "out") == read_record(own_run)["final"]


def test_a_container_without_the_parts_is_refused(
    own_run: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    ended = evaluated(capfd, own_run, "app=apps.Less")
    assert ended.status == 2
    assert ended.err == (
        "error: app (command line): there is no model, or no AccumulatorMetrics of a "
        "LoadersAcc; an evaluation needs both\n"
    )


def test_the_first_differences_of_weights_are_told(tmp_path: Path) -> None:
    torch.save(nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 3)).state_dict(), tmp_path / "weights")
    with pytest.raises(ConfigError) as error:
        load_weights(nn.Sequential(nn.Linear(2, 4)), tmp_path / "weights")
    assert str(error.value) == (
        f"{tmp_path / 'weights'}: these are not the weights of this model: "
        "0.weight is (3, 2) in the file and (4, 2) in the model; "
        "0.bias is (3,) in the file and (4,) in the model; "
        "1.weight is not in the model; and 1 more"
    )


def test_help_imports_no_torch(tmp_path: Path) -> None:
    script = (
        "import sys\n"
        "from legoloop.evaluate import main\n"
        "try:\n"
        "    main(['--help'])\n"
        "finally:\n"
        "    assert not {'torch', 'hydra', 'sklearn', 'pandas'} & {*sys.modules}\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "predicts.csv" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_a_run_without_a_final_evaluation_is_evaluated_all_the_same(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    given = ("data=xor", "model=logistic", "loggers=[csv]", "num_epochs=1", "final_samples=10")
    ll.compose([*given, "final_evaluation=false", f"hydra.run.dir={run}"]).host().run()
    assert not (run / "predicts.csv").exists()
    assert not any(tag.startswith("final/") for tag in finals(run))
    assert evaluated(capfd, run, "--output", tmp_path / "bound").status == 0
    assert (
        evaluated(
            capfd, run, "--output", tmp_path / "all", "plugins.loaders_acc.samples_limit=null"
        ).status
        == 0
    )
    rows = [
        len((tmp_path / name / "predicts.csv").read_text().splitlines())
        for name in ("bound", "all")
    ]
    assert rows == [11, 1001]
    assert "final/val/loss" in scalars(tmp_path / "all")
