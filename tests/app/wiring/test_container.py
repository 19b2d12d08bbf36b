from __future__ import annotations

from pathlib import Path

import pytest
import torch

import legoloop as ll
from legoloop.app.config.components import scope_names
from legoloop.app.wiring.container import find_device
from legoloop.core.errors import ConfigError, DataError

XOR = ("data=xor", "model=logistic", "loggers=[]", "hydra.run.dir=run")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def refused(*overrides: str) -> str:
    with pytest.raises(ConfigError) as error:
        ll.compose([*XOR, *overrides])
    return str(error.value)


def test_the_scope_that_is_told_is_the_one_that_is_there() -> None:
    app = ll.compose(XOR)
    names = scope_names(app.config())
    assert len(names) == len(set(names))
    injected = ", ".join(f"the_{name}: {name}" for name in names)
    app = ll.compose([*XOR, f"+plugins.mine={{_target_: builtins.dict, _inject_: {{{injected}}}}}"])
    assert app.mine().keys() == {f"the_{name}" for name in names}


def test_a_name_outside_of_the_scope_is_refused() -> None:
    for name in ("config", "host", "data", "run_dir", "num_epochs"):
        message = refused(f"+plugins.mine={{_target_: builtins.dict, _inject_: {{it: {name}}}}}")
        assert message.startswith(
            f"plugins.mine._inject_.it (command line): there is no provider '{name}'; "
        )


@pytest.mark.parametrize(
    "name",
    ["config", "host", "data", "device", "params", "sources", "loaders", "task", "providers"],
)
def test_names_of_the_container_are_not_for_plugins(name: str) -> None:
    message = refused(f"+plugins.{name}={{_target_: legoloop.Counter}}")
    assert message == f"plugins.{name} (command line): the name '{name}' is taken; choose another"


def test_a_plugin_set_to_null_is_left_out() -> None:
    app = ll.compose([*XOR, "plugins.history=null"])
    assert not hasattr(app, "history")
    assert "history" not in app.host().plan.plugins


def test_each_brick_is_made_once() -> None:
    app = ll.compose(XOR)
    assert app.model() is app.model() is app.feed().model
    assert app.loops_acc() is app.loops_metrics().acc_plugin


def test_nothing_is_made_or_written_before_it_is_asked_for(here: Path) -> None:
    ll.compose(XOR).host()
    assert list(here.iterdir()) == []


def test_every_source_reports_to_the_writers() -> None:
    app = ll.compose([*XOR, "loggers=[csv]"])
    sources = {app.loops_metrics(), app.loaders_metrics(), app.train_loss(), app.learning_rate()}
    assert set(app.csv().sources) == sources


def test_a_file_that_cannot_be_read_is_about_the_data() -> None:
    node = "{_target_: numpy.load, file: nowhere}"
    app = ll.compose([*XOR, f"+data.datasets.more={node}"])
    with pytest.raises(DataError, match=r"^data\.datasets\.more: .*No such file"):
        app.data.datasets()


def test_the_device_is_one_that_is_there() -> None:
    assert find_device("auto").type in ("cpu", "cuda")
    assert find_device("cpu") == torch.device("cpu")
    with pytest.raises(ConfigError, match=r"^device: 'gpu' cannot be used; give auto or cpu \("):
        find_device("gpu")


def test_all_generators_are_seeded_for_the_model() -> None:
    first, second = (ll.compose(XOR).model().head.linear.weight for _ in range(2))
    assert torch.equal(first, second)
    other = ll.compose([*XOR, "seed=1"]).model().head.linear.weight
    assert not torch.equal(first, other)
