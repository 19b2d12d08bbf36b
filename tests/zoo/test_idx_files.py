from __future__ import annotations

import gzip
from math import prod
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from legoloop.core.errors import DataError
from legoloop.zoo.idx_files import read_idx
from tests.zoo.idx_writing import idx_bytes, images_of

shapes = st.lists(st.integers(0, 4), min_size=1, max_size=4)


@given(shape=shapes, gz=st.booleans())
def test_reads_what_was_written_in_any_shape(
    tmp_path_factory: pytest.TempPathFactory, shape: list[int], gz: bool
) -> None:
    values = torch.arange(prod(shape)).to(torch.uint8).reshape(shape)
    path = tmp_path_factory.mktemp("idx") / "values"
    path.write_bytes(gzip.compress(idx_bytes(values)) if gz else idx_bytes(values))

    read = read_idx(path)

    assert read.dtype == torch.uint8
    assert read.shape == values.shape
    assert torch.equal(read, values)


def test_what_was_read_may_be_written_to(tmp_path: Path) -> None:
    path = tmp_path / "values"
    path.write_bytes(idx_bytes(images_of(1)))
    read = read_idx(path)
    read.zero_()
    assert read.sum() == 0


@given(cut=st.integers(0, 16 + 2 * 784 - 1))
def test_a_truncated_file_is_refused_wherever_it_ends(
    tmp_path_factory: pytest.TempPathFactory, cut: int
) -> None:
    path = tmp_path_factory.mktemp("idx") / "cut"
    path.write_bytes(idx_bytes(images_of(2))[:cut])
    with pytest.raises(DataError, match="cut: "):
        read_idx(path)


def test_a_gzip_that_ends_early_is_refused_wherever_it_ends(tmp_path: Path) -> None:
    packed = gzip.compress(idx_bytes(images_of(2)))
    path = tmp_path / "cut.gz"
    for end in range(2, len(packed), 7):
        path.write_bytes(packed[:end])
        with pytest.raises(DataError, match=r"cut\.gz: damaged or truncated gzip: "):
            read_idx(path)


def test_a_gzip_with_a_flipped_byte_is_refused(tmp_path: Path) -> None:
    packed = bytearray(gzip.compress(idx_bytes(images_of(2))))
    packed[-6] ^= 0xFF
    path = tmp_path / "flipped.gz"
    path.write_bytes(packed)
    with pytest.raises(DataError, match=r"flipped\.gz: damaged or truncated gzip: CRC"):
        read_idx(path)


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"<html>not here</html>", "not an IDX file: it begins with the bytes '3c 68 74 6d'"),
        (b"", "not an IDX file: it begins with the bytes ''"),
        (bytes([0, 0, 8, 0]), "not an IDX file: it begins with the bytes '00 00 08 00'"),
        (bytes([0, 0, 13, 1, 0, 0, 0, 1]), "type code 0x0d is not supported; only 0x08, uint8, is"),
        (bytes([0, 0, 8, 3, 0, 0]), "a header of 3 dimensions has 16 bytes, but the file has 6"),
        (
            bytes([0, 0, 8, 1, 0, 0, 0, 9, 1]),
            r"a header of shape \(9,\) implies 17 bytes, but the file has 9",
        ),
        (
            bytes([0, 0, 8, 1, 0, 0, 0, 1, 1, 2]),
            r"a header of shape \(1,\) implies 9 bytes, but the file has 10",
        ),
    ],
)
def test_a_damaged_file_is_refused_with_its_name_and_what_is_wrong(
    tmp_path: Path, content: bytes, what: str
) -> None:
    path = tmp_path / "damaged"
    path.write_bytes(content)
    with pytest.raises(DataError, match=f"{path}: .*{what}"):
        read_idx(path)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="absent: cannot be read: No such file"):
        read_idx(tmp_path / "absent")
