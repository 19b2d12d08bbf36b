"""Each thing of Hydra's that is not public: that it is there, and does what we take it for."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hydra._internal.utils import get_args_parser
from hydra.core.utils import JobStatus
from hydra.errors import ConfigCompositionException, InstantiationException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from legoloop.app.hydra_bridge import internals
from legoloop.app.hydra_bridge.overrides import parse_overrides
from legoloop.app.hydra_bridge.shipped_config import CONFIG_NAME, shipped_config_dir
from legoloop.core.errors import ConfigError
from tests.app.command import environment
from tests.app.composed import config_of, hydra_at_work


@pytest.fixture
def loader() -> Iterator[Any]:
    with hydra_at_work() as loader:
        yield loader


def test_every_name_has_a_test() -> None:
    """A name is a function or an alias that the module defines."""
    names = {
        name
        for name, value in vars(internals).items()
        if getattr(value, "__module__", "") == internals.__name__ and not name.startswith("_")
    } | {"ConfigLoader", "Repository", "SearchPath"}
    tested = {name for name in globals() if name.startswith("test_")}
    assert {f"test_{_snake(name)}" for name in names} <= tested


def _snake(name: str) -> str:
    return "".join(f"_{c.lower()}" if c.isupper() else c for c in name).removeprefix("_")


def test_config_loader(loader: Any) -> None:
    assert isinstance(loader, internals.ConfigLoader)
    again = internals.ConfigLoader(loader.config_search_path)
    config = again.load_configuration(CONFIG_NAME, ["seed=3"], RunMode.RUN)
    assert (config.seed, config.hydra.job.config_name) == (3, CONFIG_NAME)
    assert config.hydra.overrides.task == ["seed=3"]
    defaults = again.compute_defaults_list(CONFIG_NAME, ["model=mlp"], RunMode.RUN).defaults
    paths = [entry.config_path for entry in defaults]
    assert paths.index("legoloop_settings") < paths.index(CONFIG_NAME) < paths.index("model/mlp")
    assert next(e.package for e in defaults if e.config_path == "model/mlp") == "model"
    job = again.load_sweep_config(config, ["seed=4"])
    assert (job.seed, job.hydra.overrides.task) == (4, ["seed=4"])


def test_repository(loader: Any) -> None:
    found = internals.config_repository(loader, CONFIG_NAME, [])
    assert isinstance(found, internals.Repository)
    assert found.get_group_options("model") == ["adapted", "logistic", "mlp", "simple_cnn"]
    assert found.get_group_options("optimizer.lr") == []
    assert found.group_exists("hydra/launcher")
    assert not found.group_exists("optimizer.lr")
    option: Any = found.load_config("data/xor")
    assert (option.header["package"], option.provider) == ("_global_", "main")
    assert option.path == f"file://{shipped_config_dir()}"
    assert option.config.data.output_key == "logits"
    stored: Any = found.load_config("legoloop_settings")
    assert (stored.path, stored.provider) == (
        "structured://",
        "legoloop/app/config/settings.py",
    )
    assert {"hydra", "main", "schema"} == {source.provider for source in found.get_sources()}


def test_search_path() -> None:
    path = internals.SearchPath()
    path.append("of a plugin", "file:///mine")
    assert [entry.path for entry in path.get_path()] == ["file:///mine"]


def test_parse_arguments() -> None:
    parsed = internals.parse_arguments(["-m", "--config-dir=mine", "--config-name", "x", "seed=1"])
    assert (parsed.config_dir, parsed.config_name, parsed.overrides, parsed.multirun) == (
        *("mine", "x", ["seed=1"], True),
    )
    parsed = internals.parse_arguments([])
    assert (parsed.config_dir, parsed.config_name, parsed.overrides) == (None, None, [])


def test_flags_last() -> None:
    written = ["-m", "seed=1", "--config-dir", "mine", "num_epochs=2", "-i", "plugins"]
    ordered = internals.flags_last(written)
    assert ordered == [
        "seed=1",
        "num_epochs=2",
        "--multirun",
        "--config-dir=mine",
        "--info=plugins",
    ]
    assert get_args_parser().parse_args(ordered) == internals.parse_arguments(written)


def test_arguments_refused() -> None:
    with pytest.raises(internals.ArgumentsRefused, match=r"^unrecognized arguments: --seed=3$"):
        internals.parse_arguments(["--seed=3"])
    assert {"--multirun", "--config-dir", "-m"} <= set(internals.FLAGS)


def test_find_plugins(tmp_path: Path) -> None:
    """In a process of its own: Hydra imports what it finds, once."""
    file = tmp_path / "hydra_plugins" / "of_this_test.py"
    file.parent.mkdir()
    file.write_text("print('is imported')")
    code = "from legoloop.app.hydra_bridge.internals import find_plugins; find_plugins()"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment(PYTHONPATH=f"{tmp_path}:{environment()['PYTHONPATH']}"),
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout) == (0, "is imported\n")


def test_config_repository(loader: Any, tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "mine.yaml").write_text("_target_: mine.Model\n")
    there = f"hydra.searchpath=[file://{tmp_path}]"
    found = internals.config_repository(loader, CONFIG_NAME, [there])
    assert "mine" in found.get_group_options("model")
    assert "hydra.searchpath in command-line" in {s.provider for s in found.get_sources()}


def test_groups_chosen_by(loader: Any) -> None:
    defaults = loader.compute_defaults_list(
        CONFIG_NAME, ["data=xor", "loss=cross_entropy"], RunMode.RUN
    )
    chosen = internals.groups_chosen_by(defaults)
    assert chosen["data/xor"] == ["model", "metrics"], "the loss is chosen by the command line"


def test_apply_overrides() -> None:
    tree = OmegaConf.create({"a": 1, "b": {"c": 2, "d": 3}, "e": [1]})
    OmegaConf.set_struct(tree, True)
    overrides = parse_overrides(["a=5", "+b.f=x", "++b.c=${a}", "~b.d", "e=[2,3]"])
    internals.apply_overrides(overrides, tree)
    assert tree == {"a": 5, "b": {"c": 5, "f": "x"}, "e": [2, 3]}
    for wrong in ("nope=1", "+a=1", "~nope", "model@b=1"):
        with pytest.raises(ConfigCompositionException):
            internals.apply_overrides(parse_overrides([wrong]), tree)


def test_grid() -> None:
    overrides = parse_overrides(["seed=1,2", "model=mlp", "lr=choice(0.1,0.2)", "n=range(2)"])
    jobs = internals.grid(overrides, most=8)
    assert len(jobs) == 2 * 2 * 2
    assert jobs[0] == ["seed=1", "model=mlp", "lr=0.1", "n=0"]
    assert jobs[-1] == ["seed=2", "model=mlp", "lr=0.2", "n=1"]
    assert internals.grid(parse_overrides(["seed=range(0)"]), most=8) == []
    assert internals.grid([], most=8) == [[]]
    for many in (["seed=range(1000000000)"], ["seed=1,2,3", "n=range(3)"]):
        with pytest.raises(ConfigError, match="makes more than 8 jobs; give fewer values"):
            internals.grid(parse_overrides(many), most=8)


def test_instantiate_plugin() -> None:
    target = "hydra_plugins.legoloop.ProcessLauncher"
    launcher = internals.instantiate_plugin(OmegaConf.create({"_target_": target, "n_jobs": 3}))
    assert type(launcher).__qualname__ == "ProcessLauncher"
    with pytest.raises(InstantiationException) as refused:
        internals.instantiate_plugin(OmegaConf.create({"_target_": target, "n_jobs": 0}))
    assert "n_jobs" in str(refused.value.__cause__)


def test_is_known_plugin() -> None:
    assert internals.is_known_plugin("hydra_plugins.legoloop.ProcessLauncher")
    assert internals.is_known_plugin("hydra._internal.core_plugins.basic_launcher.BasicLauncher")
    assert not internals.is_known_plugin("hydra_plugins.legoloop.Nothing")


def test_runs_one_at_a_time() -> None:
    from hydra._internal.core_plugins.basic_launcher import BasicLauncher

    from legoloop.app.sweep.launchers.process_launcher import ProcessLauncher

    assert internals.runs_one_at_a_time(BasicLauncher())
    assert not internals.runs_one_at_a_time(ProcessLauncher())


def test_failed_job() -> None:
    error = ValueError("died")
    returned = internals.failed_job(["seed=1"], error)
    assert (returned.status, returned.overrides) == (JobStatus.FAILED, ["seed=1"])
    with pytest.raises(ValueError, match=r"^died$"):
        _ = returned.return_value


def test_composed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """That it is what Hydra composes is tested beside this file."""
    by_hydra = internals.Hydra.get_mode
    with internals.composed_once():
        assert internals.Hydra.get_mode is not by_hydra
    assert internals.Hydra.get_mode is by_hydra
    monkeypatch.setenv(internals.COMPOSE_ONCE, "0")
    with internals.composed_once():
        assert internals.Hydra.get_mode is by_hydra


def test_copy_resolver_cache(loader: Any) -> None:
    source = OmegaConf.create({"at": "${now:%f}"})
    target = OmegaConf.create({"at": "${now:%f}"})
    first = source.at
    internals.copy_resolver_cache(source, target)
    assert target.at == first


def test_set_task_overrides(loader: Any) -> None:
    overrides = ["seed=4", "optimizer.lr=0.5"]
    expected: DictConfig = loader.load_configuration(CONFIG_NAME, overrides, RunMode.RUN)
    config = config_of()
    internals.set_task_overrides(config, overrides, parse_overrides(overrides))
    assert config.hydra.overrides.task == expected.hydra.overrides.task == overrides
    assert config.hydra.job.override_dirname == expected.hydra.job.override_dirname
    assert config.hydra.job.override_dirname == "optimizer.lr=0.5,seed=4"


def test_groups_listed_once(loader: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    groups = ("model", "optimizer", "data", "plugins")
    by_hydra = [loader.get_group_options(group) for group in groups]
    impl, calls = internals.ConfigLoader._parse_overrides_and_create_caching_repo, 0

    def counted(*arguments: Any) -> Any:
        nonlocal calls
        calls += 1
        return impl(*arguments)

    monkeypatch.setattr(internals.ConfigLoader, "_parse_overrides_and_create_caching_repo", counted)
    with internals.groups_listed_once():
        assert [loader.get_group_options(group) for group in groups] == by_hydra
    assert calls == 1
    loader.get_group_options("model")
    loader.get_group_options("model")
    assert calls == 3
