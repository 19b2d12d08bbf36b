"""The trained model of a run, from any folder, through any door."""

from __future__ import annotations

import copy
import io
import json
import pickle
import random
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from dependency_injector import containers, providers
from torch import nn

import legoloop as ll
from legoloop.app.run.built_with import BuiltWith, where_now
from legoloop.core.errors import ConfigError, DataError
from legoloop.core.rng import last_seed
from tests.app.command import in_a_process

XOR = ("data=xor", "num_epochs=3", "epoch_size=128", "loggers=[]", "device=cpu")
KEPT = "plugins=[default,checkpoints,best_weights,ema]"

BRICKS = """
import csv
import torch
import legoloop as ll


def table(path, train):
    with open(path) as file:
        rows = list(csv.DictReader(file))
    columns = {name: torch.tensor([float(row[name]) for row in rows]) for name in ("a", "b", "y")}
    features = torch.stack([columns["a"], columns["b"]], dim=1)
    columns = {"features": features, "target": columns["y"]}
    told = {"task": "binary", "num_outputs": 1, "width": features.shape[1:], "input_key": "x"}
    return ll.ColumnDataset(columns, **told)


class Net(torch.nn.Module):
    def __init__(self, width):
        super().__init__()
        assert type(width) is tuple or type(width) is torch.Size
        self.linear = torch.nn.Linear(*width, 1)

    def forward(self, batch):
        return {"logits": self.linear(batch["features"]).squeeze(1)}
"""
OWN = (
    *("data=xor", "num_epochs=1", "loggers=[]", "device=cpu"),
    *("model=logistic", "model._target_=NAME.Net"),
    *(f"data.datasets.{name}._target_=NAME.table" for name in ("train", "val")),
    *(f"+data.datasets.{name}.path=my.csv" for name in ("train", "val")),
    "data.model_kwargs=[task,num_outputs,width,input_key]",
)


def trained(place: Path, *overrides: str) -> Path:
    """The directory of a run that was composed in a notebook."""
    app = ll.compose([*XOR, *overrides, f"hydra.run.dir={place}"])
    app.host().run()
    return place


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that kept the best weights, an average, and checkpoints; only to be read."""
    return trained(tmp_path_factory.mktemp("here") / "run", KEPT)


def project(folder: Path, name: str) -> tuple[str, ...]:
    """A folder with bricks and data of a user's; the overrides of a run on them."""
    folder.mkdir()
    (folder / f"{name}.py").write_text(BRICKS)
    (folder / "my.csv").write_text("a,b,y\n" + "0,1,1\n1,1,0\n" * 20)
    return tuple(override.replace("NAME", name) for override in OWN)


@pytest.fixture
def _path_as_it_was() -> Iterator[None]:
    path, modules = sys.path[:], set(sys.modules)
    yield
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        if name.startswith("bricks_"):
            del sys.modules[name]


def weights_of(model: nn.Module) -> dict[str, list[Any]]:
    return {name: value.tolist() for name, value in model.state_dict().items()}


def saved(file: Path) -> dict[str, list[Any]]:
    return {name: value.tolist() for name, value in torch.load(file).items()}


def test_the_model_of_a_run_has_its_weights_and_evaluates(run: Path) -> None:
    model = ll.load(run)
    assert not any(module.training for module in model.modules())
    assert {weight.device.type for weight in model.parameters()} == {"cpu"}
    assert weights_of(model) == saved(run / "weights")
    assert weights_of(ll.load(str(run), weights="last", device="auto")).keys()


def test_a_key_that_others_refer_to_is_no_unknown_key(tmp_path: Path) -> None:
    own = ("+my_lr=0.01", "optimizer.lr=${my_lr}", f"hydra.run.dir={tmp_path}/run")
    small = ("data=xor", "model=logistic", "num_epochs=1", "loggers=[]")
    ll.compose([*small, *own]).host().run()
    model: Any = ll.load(tmp_path / "run")
    assert model.app.optimizer().param_groups[0]["lr"] == 0.01
    again = ll.compose([f"rerun={tmp_path}/run", "my_lr=0.02", f"hydra.run.dir={tmp_path}/again"])
    assert again.optimizer().param_groups[0]["lr"] == 0.02


def test_loading_draws_nothing_and_seeds_nothing(run: Path) -> None:
    ll.seed(77)
    torch.rand(3)
    before = torch.get_rng_state(), random.getstate(), np.random.get_state()[1]
    ll.load(run)
    after = torch.get_rng_state(), random.getstate(), np.random.get_state()[1]
    assert torch.equal(before[0], after[0])
    assert before[1] == after[1]
    assert (before[2] == after[2]).all()
    assert last_seed() == 77


def test_the_best_weights(run: Path) -> None:
    assert weights_of(ll.load(run, weights="best")) == saved(run / "weights_best")


def test_the_weights_of_a_checkpoint_are_the_average_that_is_evaluated(run: Path) -> None:
    newest = max((run / "checkpoints").iterdir(), key=lambda path: int(path.name))
    state = torch.load(newest / "state.pt")["plugins"]
    average = {name: value.tolist() for name, value in state["ema"]["model"].items()}
    assert average != {n: value.tolist() for n, value in state["descent"]["model"].items()}
    assert weights_of(ll.load(run, weights=newest)) == average
    assert weights_of(ll.load(run, weights=f"checkpoints/{newest.name}")) == average


def test_a_checkpoint_without_an_average(tmp_path: Path) -> None:
    run = trained(tmp_path / "run", "plugins=[default,checkpoints]", "num_epochs=1")
    checkpoint = max((run / "checkpoints").iterdir(), key=lambda path: int(path.name))
    assert weights_of(ll.load(run, weights=checkpoint)) == saved(run / "weights")


def test_a_file_of_weights_anywhere(run: Path, tmp_path: Path) -> None:
    file = shutil.copy(run / "weights_best", tmp_path / "kept.pt")
    assert weights_of(ll.load(run, weights=file)) == saved(run / "weights_best")


def test_wrong_weights_are_told_from_those_that_are_there(run: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no weights 'bset'; what there is: last, best, checkp"):
        ll.load(run, weights="bset")
    plain = trained(tmp_path / "plain", "plugins=default", "num_epochs=1")
    with pytest.raises(ConfigError) as refused:
        ll.load(plain, weights="best")
    assert str(refused.value) == (
        f"{plain}: holds no weights of the best epoch; plugins=[default,checkpoints,best_weights] "
        "keeps them; what there is: last"
    )
    torch.save(nn.Linear(5, 5).state_dict(), tmp_path / "other")
    with pytest.raises(ConfigError, match="other: these are not the weights of this model"):
        ll.load(run, weights=tmp_path / "other")
    (tmp_path / "damaged").write_bytes(b"no weights")
    with pytest.raises(DataError, match="damaged: holds no weights that can be read"):
        ll.load(run, weights=tmp_path / "damaged")


def test_what_is_no_run_and_no_device_is_refused(run: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no run directory, it has no config\.yaml"):
        ll.load(tmp_path)
    with pytest.raises(ConfigError, match="device: 'nowhere' cannot be used"):
        ll.load(run, device="nowhere")


def test_a_run_without_its_record_is_built_from_its_configuration(
    run: Path, tmp_path: Path
) -> None:
    moved = shutil.copytree(run, tmp_path / "moved")
    (moved / "run.json").unlink()
    assert weights_of(ll.load(moved)) == saved(run / "weights")


@pytest.mark.parametrize("damage", [3, {"import_path": 3, "from_data": [], "replaced": {}}])
def test_a_record_that_tells_nonsense_is_not_believed(damage: Any) -> None:
    assert BuiltWith.read({"built_with": damage}) == BuiltWith()
    told = {"from_data": {"width": "(2,)", "x": "__import__('os')", "y": "(" * 9000, "z": 4}}
    assert BuiltWith.read({"built_with": told}).from_data == {"width": (2,)}


@pytest.mark.usefixtures("_path_as_it_was")
def test_bricks_of_a_user_are_found_from_any_folder_without_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    overrides = project(tmp_path / "project", "bricks_found")
    with monkeypatch.context() as patch:
        patch.chdir(tmp_path / "project")
        patch.syspath_prepend(tmp_path / "project")
        ll.compose([*overrides, "hydra.run.dir=out/run"]).host().run()
    del sys.modules["bricks_found"]
    (tmp_path / "project" / "my.csv").unlink()
    run = tmp_path / "project" / "out" / "run"
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)

    model = ll.load(run)

    assert model({"features": torch.zeros(2, 2)})["logits"].shape == (2,)
    assert weights_of(model) == saved(run / "weights")
    assert sys.path[-1] == str(tmp_path / "project"), "behind what this process has itself"

    del sys.modules["bricks_found"]
    sys.path.remove(str(tmp_path / "project"))
    (tmp_path / "project").rename(tmp_path / "moved")
    assert weights_of(ll.load("../moved/out/run")) == saved(tmp_path / "moved/out/run/weights")
    assert sys.path[-1] == str(tmp_path / "moved")


@pytest.mark.usefixtures("_path_as_it_was")
def test_another_module_of_the_same_name_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    overrides = project(tmp_path / "one", "bricks_twice")
    with monkeypatch.context() as patch:
        patch.chdir(tmp_path / "one")
        patch.syspath_prepend(tmp_path / "one")
        ll.compose([*overrides, "hydra.run.dir=run"]).host().run()
    del sys.modules["bricks_twice"]
    project(tmp_path / "two", "bricks_twice")
    monkeypatch.syspath_prepend(tmp_path / "two")
    __import__("bricks_twice")
    with pytest.raises(ConfigError) as refused:
        ll.load(tmp_path / "one" / "run")
    files = [tmp_path / folder / "bricks_twice.py" for folder in ("one", "two")]
    assert str(refused.value) == (
        f"the run's 'bricks_twice' is {files[0]}, but this process has imported {files[1]}; load "
        "the run in a process of its own"
    )


@pytest.mark.slow  # two commands
@pytest.mark.usefixtures("_path_as_it_was")
@pytest.mark.parametrize("door", ["run", "sweep"])
def test_a_run_of_the_command_and_a_job_of_a_sweep(door: str, tmp_path: Path) -> None:
    name = f"bricks_of_{door}"
    overrides = project(tmp_path / "project", name)
    where = ["hydra.run.dir=out"] if door == "run" else ["-m", "seed=1,2", "hydra.sweep.dir=out"]
    ended = in_a_process(tmp_path / "project", *overrides, *where, fresh=True)
    assert (ended.status, ended.err) == (0, ""), ended.err
    (tmp_path / "project" / "my.csv").unlink()
    run = tmp_path / "project" / "out" / ("." if door == "run" else "1")
    model = ll.load(run)
    assert weights_of(model) == saved(run / "weights")
    assert type(model).__module__ == name


def test_folders_that_moved_with_the_run_alone_are_guessed(tmp_path: Path) -> None:
    then, now = Path("/gone/project/outputs/1"), tmp_path / "new" / "outputs" / "1"
    assert where_now(["/gone/project"], then, now) == [tmp_path / "new"]
    assert where_now(["/gone/lib"], then, now) == []
    assert where_now(["/gone/project"], then, tmp_path / "copied" / "1") == []
    assert where_now([str(tmp_path)], then, now) == [tmp_path]


class Twin(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(2, 1)

    def forward(self, batch: dict[str, Any]) -> dict[str, torch.Tensor]:
        return {"logits": self.layer(batch["features"]).squeeze(1)}


class WithApp(Twin):
    """Has an attribute of the name that a loaded model is given."""

    def __init__(self) -> None:
        super().__init__()
        self.app = nn.Linear(1, 1)


def test_a_model_that_was_put_in_by_hand_is_in_no_record(tmp_path: Path) -> None:
    app = ll.compose([*XOR, "num_epochs=1", f"hydra.run.dir={tmp_path / 'run'}"])
    app.model.override(providers.Singleton(Twin))
    app.host().run()
    with pytest.raises(ConfigError) as refused:
        ll.load(tmp_path / "run")
    assert str(refused.value) == (
        f"{tmp_path / 'run'}: its model was put into the app by app.model.override(…), which no "
        f"record describes; build it as then, and load_state_dict {tmp_path / 'run' / 'weights'}"
    )


class TwinApp(containers.DeclarativeContainer):
    """A container of a user's, which makes and saves its own model."""

    config = providers.Configuration()
    model = providers.Factory(Twin)
    host = providers.Singleton(
        lambda model, folder: ll.TrainingHost(
            [_NoEpoch(), ll.SaveModelWeights(model, f"{folder}/weights")]
        ),
        model,
        config.run_dir,
    )


class NamelessApp(containers.DeclarativeContainer):
    """A container whose model has another name."""

    config = providers.Configuration()
    network = providers.Singleton(Twin)
    host = providers.Singleton(
        lambda model, folder: ll.TrainingHost(
            [_NoEpoch(), ll.SaveModelWeights(model, f"{folder}/weights")]
        ),
        network,
        config.run_dir,
    )


class _NoEpoch:
    def batches(self) -> Iterator[Any]:
        yield from ()

    def epoch_end(self) -> ll.ShouldStop:
        return ll.ShouldStop("nothing to do")


def test_a_container_of_a_user(tmp_path: Path) -> None:
    run = tmp_path / "run"
    ll.compose([f"app={__name__}.TwinApp", f"hydra.run.dir={run}"]).host().run()
    model: Any = ll.load(run)
    assert weights_of(model) == saved(run / "weights")
    assert model.app.model() is model
    with pytest.raises(ConfigError, match=r"trains nothing; to train again: ll.compose"):
        model.app.host()


def test_a_container_of_a_user_without_a_model(tmp_path: Path) -> None:
    run = tmp_path / "run"
    ll.compose([f"app={__name__}.NamelessApp", f"hydra.run.dir={run}"]).host().run()
    with pytest.raises(ConfigError) as refused:
        ll.load(run)
    assert str(refused.value) == (
        f"{run}: {__name__}.NamelessApp has no provider 'model'; build the model as "
        f"{__name__}.NamelessApp does, and load_state_dict {run / 'weights'}"
    )


def test_the_app_behind_a_model_has_it_and_touches_nothing_of_the_run(
    run: Path, tmp_path: Path
) -> None:
    moved = shutil.copytree(run, tmp_path / "moved")
    before = {path: path.read_bytes() for path in moved.rglob("*") if path.is_file()}
    model: Any = ll.load(moved)
    app = model.app
    assert app.model() is app.feed().model is model
    app.loaders_metrics().compute()
    recorded = json.loads((run / "run.json").read_text())["final"]
    assert app.loaders_metrics().scalars().items() <= recorded.items()
    assert not model.training
    with pytest.raises(ConfigError, match=r"trains nothing; to train again: ll.compose\(\['rerun="):
        app.host()
    assert "data" in dir(app)
    assert str(moved) in repr(app)
    app.predicts().train_end()
    after = {path: path.read_bytes() for path in moved.rglob("*") if path.is_file()}
    written = after.keys() - before.keys()
    assert {path.parent.parent for path in written} == {moved / "evaluations"}
    assert {path.name for path in written} == {"predicts.csv", "targets.csv"}
    assert before.items() <= after.items()


def test_a_loaded_model_is_a_plain_module(run: Path) -> None:
    model = ll.load(run)
    batch = {"features": torch.randn(5, 2)}
    outputs = model(batch)["logits"]
    assert not any("app" in name for name in model.state_dict())
    assert len(list(model.modules())) == len(list(type(model).modules(model)))
    content = io.BytesIO()
    torch.save(model, content)
    content.seek(0)
    copies: list[Any] = [
        copy.deepcopy(model),
        pickle.loads(pickle.dumps(model)),
        torch.load(content, weights_only=False),
    ]
    for each in copies:
        assert torch.equal(each(batch)["logits"], outputs)
        assert each.app.model() is not model
        assert weights_of(each.app.model()) == weights_of(model)
    model.train()
    assert model.training


def test_a_loaded_model_is_exported(run: Path, tmp_path: Path) -> None:
    model = ll.load(run)
    sizes = ({"features": {0: torch.export.Dim("samples")}},)
    example = {"features": torch.zeros(2, 2)}
    program = torch.export.export(model, (example,), dynamic_shapes=sizes)
    torch.export.save(program, tmp_path / "model.pt2")
    batch = {"features": torch.randn(5, 2)}
    again = torch.export.load(tmp_path / "model.pt2").module()
    assert torch.allclose(again(batch)["logits"], model(batch)["logits"])


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")  # of torch's own
def test_a_loaded_model_is_exported_to_onnx(run: Path, tmp_path: Path) -> None:
    pytest.importorskip("onnx", reason="needs onnx")
    pytest.importorskip("onnxscript", reason="needs onnxscript")
    model = ll.load(run)
    sizes = ({"features": {0: torch.export.Dim("samples")}},)
    example = {"features": torch.zeros(2, 2)}
    program = torch.onnx.export(
        model,
        (example, {}),
        dynamo=True,
        dynamic_shapes=sizes,
        output_names=list(model(example)),
    )
    assert program is not None
    program.save(tmp_path / "model.onnx")
    onnxruntime = pytest.importorskip("onnxruntime", reason="needs onnxruntime")
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    new = torch.randn(5, 2)
    (logits,) = session.run(["logits"], {session.get_inputs()[0].name: new.numpy()})
    assert np.allclose(logits, model({"features": new})["logits"].detach().numpy(), atol=1e-5)


def test_a_model_with_an_app_of_its_own_keeps_it(tmp_path: Path) -> None:
    own = f"model={{_target_: {__name__}.WithApp}}"
    run = trained(tmp_path / "run", "model=logistic", "num_epochs=1", own)
    model: Any = ll.load(run)
    assert isinstance(model.app, nn.Linear)


def test_a_model_that_cannot_be_built_any_more(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    moved = shutil.copytree(run, tmp_path / "moved")
    config = (moved / "config.yaml").read_text()
    (moved / "config.yaml").write_text(config.replace("legoloop.zoo.models.MLP", "gone.Net"))
    with pytest.raises(ConfigError) as refused:
        ll.load(moved)
    assert str(refused.value) == (
        f"model._target_ ({moved / 'config.yaml'}): there is no module gone; is it installed, or "
        "its folder on PYTHONPATH?"
    )
