from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from legoloop.core.errors import DataError
from legoloop.data.datasets import ColumnDataset
from legoloop.zoo.augment import RandomTranspose
from legoloop.zoo.mnist import MNIST, FashionMNIST, fashion_mnist, mnist
from tests.zoo.idx_writing import everything_under, images_of, labels_of, write_pair

LENT = os.environ.get("LEGOLOOP_DATA")
READERS = pytest.mark.parametrize("reader", [MNIST, FashionMNIST])


@pytest.fixture(autouse=True)
def _no_shared_data(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LEGOLOOP_DATA", raising=False)


@READERS
@pytest.mark.parametrize("gz", [False, True])
def test_reads_images_and_labels(tmp_path: Path, reader: type[MNIST], gz: bool) -> None:
    write_pair(tmp_path, images_of(12), labels_of(12), gz=gz)

    read = reader(tmp_path, download=False, train=True)

    assert len(read) == 12
    assert read.data.dtype == torch.uint8
    assert torch.equal(read.data, images_of(12))
    assert read.targets.dtype == torch.int64
    assert read.targets.tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1]


@READERS
@pytest.mark.parametrize("split", ["train", "t10k"])
def test_the_files_of_the_other_data_set_are_told_apart(
    tmp_path: Path, reader: type[MNIST], split: str
) -> None:
    (other,) = {MNIST, FashionMNIST} - {reader}
    labels = torch.tensor([*other.first_labels[split], 3], dtype=torch.uint8)
    write_pair(tmp_path, images_of(11), labels, split)
    with pytest.raises(DataError, match=f"has the labels of {other.name}, not those of"):
        reader(tmp_path, train=split == "train", download=False)
    assert len(other(tmp_path, train=split == "train", download=False)) == 11


def test_train_chooses_between_the_two_parts(tmp_path: Path) -> None:
    write_pair(tmp_path, images_of(3), labels_of(3), split="train")
    write_pair(tmp_path, images_of(2), labels_of(2), split="t10k")
    assert len(MNIST(tmp_path, train=True, download=False)) == 3
    assert len(MNIST(str(tmp_path), train=False, download=False)) == 2


@READERS
def test_without_a_root_it_looks_in_the_folder_of_its_name_then_data_then_the_shared_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reader: type[MNIST]
) -> None:
    monkeypatch.setenv("LEGOLOOP_DATA", str(tmp_path / "shared"))
    monkeypatch.chdir(tmp_path)
    found = []
    for samples, folder in (
        (1, tmp_path / "shared" / reader.name),
        (2, tmp_path / "data"),
        (3, tmp_path / "data" / reader.name),
    ):
        write_pair(folder, images_of(samples), labels_of(samples))
        read = reader(download=False)
        found.append((len(read), read.folder.absolute() == folder))
    assert found == [(1, True), (2, True), (3, True)]


@READERS
@pytest.mark.parametrize("there", [(), ("images",), ("labels",)])
@pytest.mark.parametrize("download", [False, True])
def test_a_root_that_is_given_is_the_only_place_to_look(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    reader: type[MNIST],
    there: tuple[str, ...],
    download: bool,
) -> None:
    root = tmp_path / "root"
    monkeypatch.setenv("LEGOLOOP_DATA", str(tmp_path / "shared"))
    monkeypatch.setattr(reader, "mirrors", ())
    write_pair(tmp_path / "shared" / reader.name, images_of(3), labels_of(3))
    write_pair(tmp_path / "shared", images_of(3), labels_of(3))
    write_pair(root, images_of(2), labels_of(2))
    for file in root.iterdir():
        if not any(kind in file.name for kind in there):
            file.unlink()
    before = everything_under(tmp_path)
    with pytest.raises(DataError, match=f"searched: {root}/{reader.name}, {root}; ") as refused:
        reader(root, download=download)
    assert "LEGOLOOP_DATA" not in str(refused.value)
    assert everything_under(tmp_path) == before
    if there:
        assert f"{root} has train-{there[0]}-idx" in str(refused.value)


def test_the_data_set_tells_where_it_came_from(tmp_path: Path) -> None:
    write_pair(tmp_path / "mnist", images_of(2), labels_of(2))
    assert mnist(tmp_path).source == str(tmp_path / "mnist")  # type: ignore[attr-defined]


def test_never_takes_images_from_one_folder_and_labels_from_another(tmp_path: Path) -> None:
    write_pair(tmp_path, images_of(2, first=5), labels_of(2))
    (tmp_path / "train-labels-idx1-ubyte").unlink()
    write_pair(tmp_path / "mnist", images_of(2), labels_of(2))
    assert torch.equal(MNIST(tmp_path, download=False).data, images_of(2))


def test_missing_files_are_named_with_the_folders_searched_and_the_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LEGOLOOP_DATA", "/shared")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError) as refused:
        FashionMNIST(train=False, download=False)
    assert str(refused.value) == (
        "fashion_mnist: no folder has both t10k-images-idx3-ubyte and t10k-labels-idx1-ubyte, "
        "plain or .gz; searched: data/fashion_mnist, data, /shared/fashion_mnist; "
        "download is False\n"
        "Put t10k-images-idx3-ubyte.gz and t10k-labels-idx1-ubyte.gz into "
        "data/fashion_mnist, or set data.root to a folder that has both, or LEGOLOOP_DATA "
        "to one that has them under fashion_mnist/"
    )
    assert everything_under(tmp_path) == []


@pytest.mark.parametrize(
    ("images", "labels", "what"),
    [
        (images_of(3), labels_of(2), "images-idx3-ubyte has 3 images, but .* 2 labels"),
        (images_of(2).flatten(1), labels_of(2), r"images have the shape .* has \(2, 784\)"),
        (images_of(2), labels_of(2)[None], r"labels have the shape .* has \(1, 2\)"),
        (
            images_of(3),
            torch.tensor([9, 10, 11], dtype=torch.uint8),
            "labels-idx1-ubyte: label 1 is 10; labels are 0 to 9",
        ),
    ],
)
def test_files_that_do_not_belong_together_are_refused(
    tmp_path: Path, images: torch.Tensor, labels: torch.Tensor, what: str
) -> None:
    write_pair(tmp_path, images, labels)
    with pytest.raises(DataError, match=f"{tmp_path}/train-.*{what}"):
        MNIST(tmp_path, download=False)


def test_a_truncated_file_is_refused_by_name(tmp_path: Path) -> None:
    write_pair(tmp_path, images_of(3), labels_of(3))
    path = tmp_path / "train-images-idx3-ubyte"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DataError, match=f"{path}: damaged or truncated"):
        mnist(tmp_path, download=False)


@pytest.mark.parametrize("make", [mnist, fashion_mnist])
def test_the_column_data_set_tells_the_model_what_it_needs(tmp_path: Path, make: object) -> None:
    write_pair(tmp_path, images_of(3), labels_of(3), gz=True)
    assert callable(make)

    data: ColumnDataset = make(tmp_path, download=False)

    assert data.columns["image"].shape == (3, 1, 28, 28)
    assert data.columns["image"].dtype == torch.uint8
    assert data.columns["target"].dtype == torch.int64
    told = ("task", "num_outputs", "num_features", "input_key", "image_shape")
    assert {name: getattr(data, name) for name in told} == {
        "task": "multiclass",
        "num_outputs": 10,
        "num_features": 784,
        "input_key": "image",
        "image_shape": (1, 28, 28),
    }


def test_a_transform_is_given_whole_batches(tmp_path: Path) -> None:
    write_pair(tmp_path, images_of(3), labels_of(3))
    data = mnist(tmp_path, transform=RandomTranspose(p=1.0), download=False)
    assert torch.equal(data.__getitems__([1, 2])["image"][:, 0], images_of(3)[1:].mT)


@pytest.mark.skipif(LENT is None, reason="LEGOLOOP_DATA is not set: no real MNIST to read")
def test_reads_the_real_mnist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEGOLOOP_DATA", str(Path(str(LENT)).absolute()))
    if not (Path(str(LENT)) / "mnist").is_dir():
        pytest.skip("LEGOLOOP_DATA has no folder mnist")
    monkeypatch.chdir(tmp_path)

    train, test = (MNIST(train=train, download=False) for train in (True, False))

    assert train.data.shape == (60_000, 28, 28)
    assert test.data.shape == (10_000, 28, 28)
    assert train.targets[:5].tolist() == [5, 0, 4, 1, 9]
    assert test.targets.bincount().tolist() == [
        980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009,
    ]  # fmt: skip
    assert round(train.data.double().mean().item() / 255, 4) == 0.1307
    assert everything_under(tmp_path) == []
