from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

import legoloop as ll
from legoloop.app.config.targets import parameters, resolve
from legoloop.core.errors import ConfigError, MissingExtraError


def test_classes_functions_methods_and_builtins_are_found() -> None:
    assert resolve("legoloop.Counter") is ll.Counter
    assert resolve("torch.optim.Adam") is torch.optim.Adam
    assert resolve("torch.nn.Linear.forward") is torch.nn.Linear.forward
    assert resolve("dict") is dict


WRONG = {
    "legoloop.Countre": "legoloop has no 'Countre'; did you mean Counter?",
    "legoloop.zoo.modles.MLP": "legoloop.zoo has no 'modles'; did you mean models?",
    "torch.nn.Linear.forwrad": "Linear has no 'forwrad'; did you mean forward?",
    "nolegoloop.Counter": (
        "there is no module nolegoloop; is it installed, or its folder on PYTHONPATH?"
    ),
    "legoloop.zoo": "legoloop.zoo cannot be called; it is of type module",
    "legoloop.__version__": "legoloop.__version__ cannot be called; it is of type str",
    "not a path": "'not a path' is not a dotted path; write package.module.Name",
    "": "'' is not a dotted path; write package.module.Name",
    ".Counter": "'.Counter' is not a dotted path; write package.module.Name",
}


@pytest.mark.parametrize(("target", "message"), WRONG.items())
def test_what_is_not_there_is_named(target: str, message: str) -> None:
    with pytest.raises(ConfigError) as refused:
        resolve(target)
    assert str(refused.value) == message


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty package ``theirs``."""
    folder = tmp_path / "theirs"
    folder.mkdir()
    (folder / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    for name in [name for name in sys.modules if name.split(".")[0] == "theirs"]:
        monkeypatch.delitem(sys.modules, name)
    return folder


def test_a_module_that_needs_what_is_not_installed_says_what(package: Path) -> None:
    (package / "needy.py").write_text("import not_installed_anywhere\n")
    with pytest.raises(ConfigError) as refused:
        resolve("theirs.needy.Brick")
    assert str(refused.value) == (
        "theirs.needy.Brick cannot be imported: it needs not_installed_anywhere, "
        "which is not installed"
    )


def test_a_missing_extra_is_told_as_it_is(package: Path) -> None:
    (package / "extra.py").write_text(
        "from legoloop.core.errors import MissingExtraError\n"
        "raise MissingExtraError.of('Board', 'wandb', 'wandb')\n"
    )
    with pytest.raises(MissingExtraError, match=r"pip install 'legoloop\[wandb\]'"):
        resolve("theirs.extra.Board")


def test_a_bug_in_a_module_is_not_hidden(package: Path) -> None:
    (package / "buggy.py").write_text("1 / 0\n")
    with pytest.raises(ZeroDivisionError):
        resolve("theirs.buggy.Brick")


def test_parameters_are_those_without_self() -> None:
    assert list(parameters(ll.LastEpoch) or ()) == ["counter", "num_epochs"]
    assert parameters(type) is None
