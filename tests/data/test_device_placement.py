from __future__ import annotations

import gc
import weakref

import pytest
import torch

from legoloop.core.errors import ArgumentError
from legoloop.data.datasets import ColumnDataset
from legoloop.data.device_placement import copy_on, datasets_that_fit, place_on_device
from legoloop.data.loader_config import LoaderConfig
from legoloop.data.loaders import Loader
from legoloop.data.streams import BatchStream
from legoloop.zoo.augment import RandomTranspose
from tests.data.samples import Records, columns, noisy_columns

GPU = torch.device("cuda")
needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU here")


def chosen(datasets, num_bytes=10**6, **config):
    return datasets_that_fit(datasets, dict.fromkeys(datasets, LoaderConfig(**config)), num_bytes)


def images():
    return {"image": torch.rand(20, 1, 4, 4), "target": torch.arange(20)}


@pytest.mark.parametrize("preload", ["auto", True, False])
@pytest.mark.parametrize("device", [None, torch.device("cpu")])
def test_without_a_gpu_every_data_set_stays_itself(preload, device):
    given = {"train": columns(), "val": Records()}
    found = place_on_device(given, dict.fromkeys(given, LoaderConfig()), device, preload)
    assert all(found[name] is given[name] for name in given)


def test_auto_chooses_columns_that_can_be_served_from_anywhere():
    datasets = {
        "columns": columns(),
        "transposed": ColumnDataset(images(), RandomTranspose()),
        "drawn anyhow": noisy_columns(),
        "records": Records(),
    }
    assert chosen(datasets) == ["columns", "transposed"]
    assert chosen(datasets, num_workers=1) == []


def test_auto_chooses_what_fits_the_first_ones_first():
    datasets = {"large": columns(100), "train": columns(10), "val": columns(5), "test": columns(1)}
    sizes = {name: data.nbytes for name, data in datasets.items()}
    assert sizes["train"] == 10 * (4 + 8)
    room = sizes["train"] + sizes["test"]
    assert chosen(datasets, room) == ["train", "test"]
    assert chosen(datasets, room + 10**4) == list(datasets)


def test_columns_on_a_device_are_a_data_set_of_its_own():
    data = ColumnDataset(images(), RandomTranspose(), num_outputs=10)
    moved = data.to("meta")
    assert {column.device.type for column in moved.columns.values()} == {"meta"}
    assert data.device.type == "cpu"
    assert (moved.num_outputs, moved.transform, len(moved)) == (10, data.transform, 20)


META = torch.device("meta")


def test_runs_that_share_a_data_set_share_its_copy():
    data = ColumnDataset(images())
    there = copy_on(META, data)
    assert copy_on(META, data) is there
    assert copy_on(torch.device("cpu"), data) is not there
    assert copy_on(META, ColumnDataset(images())) is not there


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data.columns["image"].add_(1),
        lambda data: data.columns.update(other=torch.zeros(len(data))),
        lambda data: data.columns.update(image=data.columns["image"].clone()),
        lambda data: setattr(data, "transform", RandomTranspose()),
        lambda data: setattr(data, "num_outputs", 3),
    ],
)
def test_a_data_set_that_has_changed_is_copied_anew(change):
    data = ColumnDataset(images())
    before = copy_on(META, data)
    change(data)
    after = copy_on(META, data)
    assert after is not before
    assert after.columns.keys() == data.columns.keys()
    assert after.transform is data.transform


def test_columns_that_were_made_in_inference_mode_are_copied_too():
    with torch.inference_mode():
        data = ColumnDataset(images())
    assert copy_on(META, data) is copy_on(META, data)


def test_a_copy_lives_as_long_as_its_data_set():
    data = ColumnDataset(images())
    copied = weakref.ref(copy_on(META, data))
    assert copied() is not None
    del data
    gc.collect()
    assert copied() is None


@pytest.mark.parametrize("preload", ["yes", None, 1])
def test_no_other_choice_is_taken(preload):
    with pytest.raises(ArgumentError) as refused:
        place_on_device({}, {}, None, preload)
    assert str(refused.value) == f"preload is {preload!r}; give auto, true or false"


@pytest.mark.parametrize(
    ("data", "num_workers", "message"),
    [
        (Records(), 0, "preload is true, but data set 'train', a Records, has no columns to mov"),
        (
            columns(),
            2,
            "preload is true, but loaders.train.num_workers is 2; workers cannot serve ",
        ),
    ],
)
def test_true_refuses_what_cannot_be_moved(data, num_workers, message):
    with pytest.raises(ArgumentError) as refused:
        place_on_device(
            {"train": data}, {"train": LoaderConfig(num_workers=num_workers)}, GPU, True
        )
    assert str(refused.value).startswith(message)


@needs_gpu
@pytest.mark.parametrize("shuffle", [True, False])
def test_batches_from_the_device_are_those_through_the_host(shuffle):
    data = ColumnDataset(images(), RandomTranspose())
    config = LoaderConfig(6, shuffle=shuffle)
    there = place_on_device({"train": data}, {"train": config}, GPU)["train"]
    assert there.device.type == "cuda"
    for made in (BatchStream, Loader):
        ways = [made(data, "train", 0, config), made(there, "train", 0, config, GPU)]
        for _, host, device in zip(range(9), *map(iter, ways), strict=False):
            assert {value.device.type for value in device.values()} == {"cuda"}
            assert all(torch.equal(host[key], device[key].cpu()) for key in host)


@needs_gpu
@pytest.mark.filterwarnings("ignore:Synchronization debug mode")
def test_nothing_of_a_batch_waits_for_the_device():
    data = ColumnDataset(images(), RandomTranspose()).to(GPU)
    loop = BatchStream(data, "train", 0, LoaderConfig(6), GPU)
    next(loop)
    torch.cuda.set_sync_debug_mode("error")
    try:
        for _ in range(9):
            next(loop)
    finally:
        torch.cuda.set_sync_debug_mode("default")
