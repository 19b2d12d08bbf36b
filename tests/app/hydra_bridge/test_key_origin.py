"""Where a key was set, as the messages tell it."""

from __future__ import annotations

from pathlib import Path

import pytest

import legoloop as ll
from legoloop.app.hydra_bridge.key_origin import check_none_is_hidden, where_set
from legoloop.core.errors import ConfigError
from tests.app.composed import config_of, hydra_at_work

QUIET = ("loggers=[]", "hydra.run.dir=run")


@pytest.fixture
def conf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's folder of groups, called as ours is."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "conf"
    for group in ("model", "experiment"):
        (folder / group).mkdir(parents=True)
    return folder


def place(conf: Path, key: str, *overrides: str) -> str:
    """What stands in brackets behind the wrong key."""
    with pytest.raises(ConfigError) as refused:
        ll.compose([*QUIET, *overrides], config_dir=conf)
    message = str(refused.value)
    assert message.startswith(f"{key} (")
    return message[len(key) + 2 : message.index("): ")]


def test_a_file_that_ships(conf: Path) -> None:
    assert place(conf, "model.image_shape", "data=xor", "model=simple_cnn") == (
        "conf/model/simple_cnn.yaml"
    )


@pytest.mark.parametrize(
    "sibling", ["model.dropout=0.1", "+model={dropout: 0.1}", "+model.image_shap=[1, 8, 8]"]
)
def test_what_the_command_line_set_beside_a_key_does_not_hide_its_file(
    conf: Path, sibling: str
) -> None:
    overrides = ["data=xor", "model=simple_cnn", "data.seed=1", sibling]
    if "shap=" in sibling:
        assert place(conf, "model.image_shap", *overrides) == "command line"
    else:
        assert place(conf, "model.image_shape", *overrides) == "conf/model/simple_cnn.yaml"


def test_what_a_preset_set_beside_a_key_does_not_hide_its_file(conf: Path) -> None:
    (conf / "experiment" / "mine.yaml").write_text("# @package _global_\nmodel: {dropout: 0.1}\n")
    chosen = ("data=xor", "model=simple_cnn", "experiment=mine")
    assert place(conf, "model.image_shape", *chosen) == "conf/model/simple_cnn.yaml"


def test_what_is_wrong_with_a_node_is_told_where_it_was_changed() -> None:
    with hydra_at_work():
        changed = config_of("data=xor", "optimizer.lr=1")
        assert where_set("optimizer", changed) == "command line"
        assert where_set("optimizer.weight", changed) == "conf/optimizer/adam.yaml"
        assert where_set("data.name", changed) == "conf/data/xor.yaml"


def test_a_file_of_the_users(conf: Path) -> None:
    file = conf / "model" / "mine.yaml"
    file.write_text("_target_: legoloop.zoo.models.MLP\nhiden: [8]\n")
    assert place(conf, "model.hiden", "model=mine") == str(file)


def test_the_command_line_wins_over_files(conf: Path) -> None:
    (conf / "model" / "mine.yaml").write_text("_target_: legoloop.zoo.models.MLP\nhidden: narrow\n")
    assert place(conf, "model.hidden", "model=mine", "model.hidden=wide") == "command line"


def test_a_preset_wins_over_a_group(conf: Path) -> None:
    preset = conf / "experiment" / "mine.yaml"
    preset.write_text("# @package _global_\noptimizer:\n  lr: fast\n")
    assert place(conf, "optimizer.lr", "experiment=mine") == str(preset)


def test_the_group_is_told_where_the_preset_is_silent(conf: Path) -> None:
    (conf / "experiment" / "mine.yaml").write_text("# @package _global_\noptimizer:\n  lr: 0.1\n")
    (conf / "model" / "mine.yaml").write_text("_target_: legoloop.Nothing\n")
    assert place(conf, "model._target_", "experiment=mine", "model=mine") == (
        str(conf / "model" / "mine.yaml")
    )


def test_a_key_at_the_top(conf: Path) -> None:
    preset = conf / "experiment" / "mine.yaml"
    preset.write_text("# @package _global_\nnum_epochs: -1\n")
    assert place(conf, "num_epochs", "experiment=mine") == str(preset)


@pytest.mark.parametrize("name", ["model/mlp", "optimizer/adam", "hydra/launcher/processes"])
def test_a_file_of_the_users_that_has_the_name_of_one_that_ships_is_refused(
    conf: Path, name: str
) -> None:
    file = conf / f"{name}.yaml"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("_target_: legoloop.zoo.models.MLP\n")
    group, _, option = name.rpartition("/")
    overrides = [*QUIET, "data=xor", f"{group}={option}"]
    if group.startswith("hydra"):
        with hydra_at_work(), pytest.raises(ConfigError) as refused:
            check_none_is_hidden([*overrides, f"hydra.searchpath=['file://{conf}']"])
    else:
        with pytest.raises(ConfigError) as refused:
            ll.compose(overrides, config_dir=conf)
    assert str(refused.value) == (
        f"{file}: is not read, conf/{name}.yaml of the same name comes first; give it another name"
    )


def test_a_name_that_is_not_chosen_may_be_taken(conf: Path) -> None:
    (conf / "model" / "simple_cnn.yaml").write_text("_target_: legoloop.Nothing\n")
    ll.compose([*QUIET, "data=xor", "model=mlp"], config_dir=conf)


def test_of_two_folders_of_the_users_none_hides_the_other(conf: Path, tmp_path: Path) -> None:
    for folder in (conf, tmp_path / "more"):
        (folder / "model").mkdir(parents=True, exist_ok=True)
        (folder / "model" / "mine.yaml").write_text("_target_: legoloop.zoo.models.MLP\n")
    both = f"hydra.searchpath=['file://{conf}','file://{tmp_path}/more']"
    with pytest.raises(ConfigError, match=f"^{tmp_path}/more/model/mine.yaml: is not read, {conf}"):
        ll.compose([*QUIET, "data=xor", "model=mine", both])
