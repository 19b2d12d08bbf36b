"""MNIST and Fashion-MNIST, from IDX files."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import torch

from legoloop.core.errors import DataError
from legoloop.core.protocols import Batch
from legoloop.data.datasets import ColumnDataset
from legoloop.zoo.download import download as download_from
from legoloop.zoo.idx_files import read_idx

CLASSES = 10
HERE = Path("data")
"""Where files are searched first, and downloaded to, if no root is given."""


class MNIST:
    """Handwritten digits: ``data``, shape (samples, 28, 28), uint8, ``targets`` (samples,), int64.

    The files, plain or ``.gz``, are searched in ``root/mnist`` and ``root``, and nowhere else.
    Without a root they are searched in ``data/mnist``, ``data`` and ``$LEGOLOOP_DATA/mnist``.

    Args:
        root: a folder; None: none in particular.
        train: True: the 60,000 training images; False: the 10,000 test images.
        download: download missing files to the first of these folders; needs the extra
            ``download``.

    Raises:
        DataError: if files are missing and could not be downloaded, if one is damaged, if the two
            files do not match, or if they are those of Fashion-MNIST.

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> header = bytes([0, 0, 8, 3, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 2])
    >>> _ = (folder / "t10k-images-idx3-ubyte").write_bytes(header + bytes([0, 9, 9, 0]))
    >>> _ = (folder / "t10k-labels-idx1-ubyte").write_bytes(bytes([0, 0, 8, 1, 0, 0, 0, 1, 7]))
    >>> MNIST(folder, train=False, download=False).targets
    tensor([7])
    """

    name: ClassVar[str] = "mnist"
    mirrors: ClassVar[Sequence[str]] = (
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
    )
    digests: ClassVar[Mapping[str, str]] = {
        "train-images-idx3-ubyte.gz": (
            "sha256:440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609"
        ),
        "train-labels-idx1-ubyte.gz": (
            "sha256:3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c"
        ),
        "t10k-images-idx3-ubyte.gz": (
            "sha256:8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6"
        ),
        "t10k-labels-idx1-ubyte.gz": (
            "sha256:f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6"
        ),
    }
    first_labels: ClassVar[Mapping[str, Sequence[int]]] = {
        "train": (5, 0, 4, 1, 9, 2, 1, 3, 1, 4),
        "t10k": (7, 2, 1, 0, 4, 1, 4, 9, 5, 9),
    }
    """They distinguish the files from those of another data set, which have the same names."""

    def __init__(
        self,
        root: str | os.PathLike[str] | None = None,
        train: bool = True,
        download: bool = True,
    ) -> None:
        split = "train" if train else "t10k"
        wanted = (f"{split}-images-idx3-ubyte", f"{split}-labels-idx1-ubyte")
        self.folder = self._folder(None if root is None else Path(root), wanted, download)
        images, labels = (_file_in(self.folder, name) for name in wanted)
        self.data = read_idx(images)
        self.targets = read_idx(labels).long()
        self._check(images, labels)
        first = tuple(self.targets[:10].tolist())
        for other in (MNIST, FashionMNIST):
            if other.name != self.name and first == other.first_labels[split]:
                raise DataError(
                    f"{labels}: has the labels of {other.name}, not those of {self.name}, whose "
                    f"files have the same names; set data.root to a folder that has {self.name}"
                )

    def __len__(self) -> int:
        return len(self.targets)

    def _folder(self, root: Path | None, wanted: Sequence[str], download: bool) -> Path:
        """The first folder that has all the files.

        Files are not combined from several folders: they may belong to different data sets. For
        the same reason a root that was given is the only place to look.
        """
        place = HERE if root is None else root
        own = place / self.name
        searched = [own, place]
        if root is None and (shared := os.environ.get("LEGOLOOP_DATA")):
            searched.append(Path(shared) / self.name)
        for folder in searched:
            if all(_is_in(folder, name) for name in wanted):
                return folder
        missing = [name for name in wanted if not _is_in(own, name)]
        reason = _half_of(root, wanted)
        if reason is None:
            reason = self._download(missing, own) if download else "download is False"
        if reason is None:
            return own
        elsewhere = f", or LEGOLOOP_DATA to one that has them under {self.name}/"
        raise DataError(
            f"{self.name}: no folder has both {' and '.join(wanted)}, plain or .gz; "
            f"searched: {', '.join(map(str, searched))}; {reason}\n"
            f"Put {' and '.join(f'{name}.gz' for name in missing)} into {own}, or set data.root "
            f"to a folder that has both{elsewhere if root is None else ''}"
        )

    def _download(self, missing: Sequence[str], folder: Path) -> str | None:
        """Download the missing files; returns the reason if that fails."""
        try:
            for name in missing:
                download_from(f"{name}.gz", self.digests[f"{name}.gz"], self.mirrors, folder)
        except DataError as error:
            return str(error)
        return None

    def _check(self, images: Path, labels: Path) -> None:
        if self.data.ndim != 3:
            raise DataError(
                f"{images}: images have the shape (samples, height, width), "
                f"but this file has {tuple(self.data.shape)}"
            )
        if self.targets.ndim != 1:
            raise DataError(
                f"{labels}: labels have the shape (samples,), "
                f"but this file has {tuple(self.targets.shape)}"
            )
        if len(self.data) != len(self.targets):
            raise DataError(
                f"{images} has {len(self.data)} images, but {labels} has {len(self.targets)} labels"
            )
        wrong = (self.targets >= CLASSES).nonzero()
        if len(wrong):
            first = int(wrong[0])
            raise DataError(
                f"{labels}: label {first} is {int(self.targets[first])}; "
                f"labels are 0 to {CLASSES - 1}"
            )


class FashionMNIST(MNIST):
    """Images of clothes, in files of the same names and shapes as those of ``MNIST``.

    The files are searched as those of ``MNIST``, in folders named ``fashion_mnist``.

    Args:
        root: a folder; None: none in particular.
        train: True: the 60,000 training images; False: the 10,000 test images.
        download: download missing files to ``root/fashion_mnist``; needs the extra ``download``.

    Raises:
        DataError: as ``MNIST`` does.
    """

    name = "fashion_mnist"
    mirrors = (
        "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
    )
    digests: ClassVar[Mapping[str, str]] = {
        "train-images-idx3-ubyte.gz": "md5:8d4fb7e6c68d591d4c3dfef9ec88bf0d",
        "train-labels-idx1-ubyte.gz": "md5:25c81989df183df01b3e8a0aad5dffbe",
        "t10k-images-idx3-ubyte.gz": "md5:bef4ecab320f06d8554ea6380940ec79",
        "t10k-labels-idx1-ubyte.gz": "md5:bb300cfdad3c16e7a12a480ee83cd310",
    }
    first_labels: ClassVar[Mapping[str, Sequence[int]]] = {
        "train": (9, 0, 0, 3, 0, 2, 7, 2, 5, 5),
        "t10k": (9, 2, 1, 1, 6, 1, 4, 6, 5, 7),
    }


def mnist(
    root: str | os.PathLike[str] | None = None,
    train: bool = True,
    transform: Callable[[Batch], Batch] | None = None,
    download: bool = True,
) -> ColumnDataset:
    """MNIST as columns: ``image`` (samples, 1, 28, 28) uint8, ``target`` (samples,) int64.

    Args:
        root: the folder of the files; None: none in particular, as for ``MNIST``.
        train: True: the 60,000 training images; False: the 10,000 test images.
        transform: applied to each batch; None: none.
        download: download missing files; needs the extra ``download``.

    Raises:
        DataError: as ``MNIST`` does.
    """
    return _columns(MNIST(root, train, download), transform)


def fashion_mnist(
    root: str | os.PathLike[str] | None = None,
    train: bool = True,
    transform: Callable[[Batch], Batch] | None = None,
    download: bool = True,
) -> ColumnDataset:
    """Fashion-MNIST as columns: ``image`` (samples, 1, 28, 28) uint8, ``target`` (samples,) int64.

    Args:
        root: the folder of the files; None: none in particular, as for ``FashionMNIST``.
        train: True: the 60,000 training images; False: the 10,000 test images.
        transform: applied to each batch; None: none.
        download: download missing files; needs the extra ``download``.

    Raises:
        DataError: as ``FashionMNIST`` does.
    """
    return _columns(FashionMNIST(root, train, download), transform)


def _columns(read: MNIST, transform: Callable[[Batch], Batch] | None) -> ColumnDataset:
    image: torch.Tensor = read.data.unsqueeze(1)
    return ColumnDataset(
        {"image": image, "target": read.targets},
        transform,
        task="multiclass",
        num_outputs=CLASSES,
        num_features=image.shape[1:].numel(),
        input_key="image",
        image_shape=tuple(image.shape[1:]),
        source=str(read.folder.absolute()),
    )


def _half_of(root: Path | None, wanted: Sequence[str]) -> str | None:
    """What speaks against downloading: a root that was given has files of its own, but not all."""
    there = [name for name in wanted if root is not None and _is_in(root, name)]
    return f"{root} has {' and '.join(there)} alone" if there else None


def _is_in(folder: Path, name: str) -> bool:
    return (folder / name).is_file() or (folder / f"{name}.gz").is_file()


def _file_in(folder: Path, name: str) -> Path:
    plain = folder / name
    return plain if plain.is_file() else folder / f"{name}.gz"
