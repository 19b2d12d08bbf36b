from __future__ import annotations

import pytest
import torch
from dependency_injector import containers, providers

import legoloop as ll
from legoloop.core.errors import ArgumentError
from tests.data.samples import NoisyRecords, Records, plain


def datasets(kind=NoisyRecords):
    return providers.Dict(
        train=providers.Singleton(kind, 10), val=providers.Singleton(kind, samples=5)
    )


class Around(containers.DeclarativeContainer):
    config = providers.Configuration()
    config.from_dict({"loaders": {"default": {"batch_size": 3}}, "lr": 0.1})
    data = providers.Container(ll.Data, datasets=datasets())


def sizes(batches):
    return [len(batch["idx"]) for batch in batches]


def test_loaders_and_loops_go_by_the_names_of_the_data_sets():
    data = ll.Data(datasets=datasets())
    assert data.loaders().keys() == data.loop_iters().keys() == {"train", "val"}
    assert sizes(data.loaders()["val"]) == [5]
    assert sizes([next(data.loop_iters()["train"])]) == [10]


def test_they_are_made_once():
    data = ll.Data(datasets=datasets())
    assert data.loop_iters()["train"] is data.loop_iters()["train"]
    assert data.loop_iters.provided["train"]() is data.loop_iters()["train"]


def test_settings_of_a_name_stand_over_the_default():
    loaders = {"default": {"batch_size": 4, "num_workers": 0}, "val": {"batch_size": 2}}
    data = ll.Data(datasets=datasets(), config={"loaders": loaders})
    assert sizes(data.loaders()["train"]) == [4, 4, 2]
    assert sizes(data.loaders()["val"]) == [2, 2, 1]


def test_without_a_config_it_looks_to_the_container_around_it():
    assert sizes(Around().data.loaders()["val"]) == [3, 2]


def test_its_own_config_comes_first():
    class Given(Around):
        data = providers.Container(
            ll.Data, datasets=datasets(), config={"loaders": {"default": {"batch_size": 2}}}
        )

    assert sizes(Given().data.loaders()["val"]) == [2, 2, 1]


def test_part_of_the_config_around_it_may_be_its_own():
    class Given(containers.DeclarativeContainer):
        config = providers.Configuration(strict=True)
        data = providers.Container(ll.Data, datasets=datasets(), config=config.data)

    app = Given()
    app.config.from_dict({"data": {"loaders": {"val": {"batch_size": 1}}}})
    assert sizes(app.data.loaders()["val"]) == [1] * 5


def test_two_containers_deep_the_config_of_the_one_around_it_counts():
    class App(containers.DeclarativeContainer):
        config = providers.Configuration()
        config.from_dict({"loaders": {"default": {"batch_size": 1}}})
        defs = providers.Container(Around)

    app = App()
    assert sizes(app.defs.data.loaders()["val"]) == [3, 2]
    app.defs.config.from_dict({"loaders": {"default": {"batch_size": 4}}})
    assert sizes(app.defs.data.loop_iters()["val"].peek()) == [4, 1]


def test_an_app_keeps_its_config_to_itself():
    one, other = Around(), Around()
    one.config.from_dict({"loaders": {"default": {"batch_size": 5}}})
    assert sizes(one.data.loaders()["val"]) == [5]
    assert sizes(other.data.loaders()["val"]) == [3, 2]


def noise(data):
    return plain(data.loaders()["val"]), plain(data.loop_iters()["train"].peek())


def test_the_seed_is_that_of_the_config_or_the_chosen_one_or_0():
    def with_seed(**config):
        return noise(ll.Data(datasets=datasets(), config=config))

    zero, seven = with_seed(seed=0), with_seed(seed=7)
    assert zero != seven
    assert with_seed() == with_seed(seed=None) == zero
    ll.seed(7)
    assert with_seed() == with_seed(seed=None) == seven
    assert with_seed(seed=0) == zero


def test_the_seed_may_stand_in_the_config_around_it():
    app = Around()
    app.config.from_dict({"seed": 7, "loaders": {"default": {"batch_size": 256}}})
    assert noise(app.data) == noise(ll.Data(datasets=datasets(), config={"seed": 7}))


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (
            {"loaders": {"trian": {"batch_size": 2}}},
            "loaders.trian is not a data set; did you mean train?",
        ),
        (
            {"loaders": {"train": {"bacth_size": 2}}},
            "loaders.train.bacth_size is not a setting; did you mean batch_size?",
        ),
        (
            {"loaders": {"default": {"batchsize": 2}}},
            "loaders.default.batchsize is not a setting; did you mean batch_size?",
        ),
        (
            {"loaders": {"val": {"batch_size": 0}}},
            "loaders.val.batch_size is 0; give a whole number of at least 1",
        ),
        (
            {"loaders": {"default": {"num_workers": -1}}},
            "loaders.default.num_workers is -1; give a whole number of at least 0",
        ),
        ({"loaders": {"train": 256}}, "loaders.train is 256; give settings by name"),
        ({"loaders": 256}, "loaders is 256; give settings by name"),
        ({"seed": "seven"}, "seed is 'seven'; give a whole number"),
        ({"seed": 1.5}, "seed is 1.5; give a whole number"),
    ],
)
def test_mistakes_in_the_settings_are_refused(config, message):
    data = ll.Data(datasets=datasets(Records), config=config)
    for part in (data.loaders, data.loop_iters):
        with pytest.raises(ArgumentError) as refused:
            part()
        assert str(refused.value) == message


@pytest.mark.parametrize("device", [None, "cpu", torch.device("cpu")])
def test_a_device_that_is_no_gpu_changes_nothing(device):
    given = ll.Data(datasets=datasets(), device=device, config={"preload": True})
    assert noise(given) == noise(ll.Data(datasets=datasets()))
    assert given.placed_datasets() == given.datasets()


def test_data_cannot_be_kept_just_anywhere():
    data = ll.Data(datasets=datasets(), config={"preload": "gpu"})
    with pytest.raises(ArgumentError, match="preload is 'gpu'; give auto, true or false"):
        data.loaders()
