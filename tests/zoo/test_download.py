from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from legoloop.core.errors import DataError
from legoloop.zoo.download import download
from legoloop.zoo.mnist import MNIST
from tests.zoo.idx_writing import everything_under, images_of, labels_of, write_pair

NAMES = ("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz")


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None: ...


class Mirror:
    """A real server of a folder, and its address."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.folder = folder
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
        self.address = f"http://127.0.0.1:{self.server.server_port}/"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))
        self.thread.start()

    def close(self) -> None:
        if self.thread.is_alive():
            self.server.shutdown()
            self.thread.join()
        self.server.server_close()


@pytest.fixture
def mirrors(tmp_path: Path) -> Iterator[list[Mirror]]:
    mirrors = [Mirror(tmp_path / "mirror0"), Mirror(tmp_path / "mirror1")]
    yield mirrors
    for mirror in mirrors:
        mirror.close()


@pytest.fixture
def reader(mirrors: list[Mirror], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> type[MNIST]:
    """A reader that knows these mirrors; the second of them has the files."""
    monkeypatch.delenv("LEGOLOOP_DATA", raising=False)
    write_pair(mirrors[1].folder, images_of(4), labels_of(4), gz=True)

    class FromHere(MNIST): ...

    FromHere.mirrors = tuple(mirror.address for mirror in mirrors)
    FromHere.digests = {name: f"sha256:{_sha256(mirrors[1].folder / name)}" for name in NAMES}
    return FromHere


def test_downloads_what_is_missing_with_a_progress_bar(
    reader: type[MNIST], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    reader.mirrors = reader.mirrors[1:]

    read = reader(tmp_path / "data")

    assert (read.data == images_of(4)).all()
    assert everything_under(tmp_path / "data") == ["mnist", *(f"mnist/{name}" for name in NAMES)]
    assert "100%" in capsys.readouterr().err


def test_reads_what_it_once_downloaded_without_a_network(
    reader: type[MNIST], mirrors: list[Mirror], tmp_path: Path
) -> None:
    reader(tmp_path / "data")
    for mirror in mirrors:
        mirror.close()
    assert len(reader(tmp_path / "data")) == 4


def test_downloads_only_what_is_missing(
    reader: type[MNIST], mirrors: list[Mirror], tmp_path: Path
) -> None:
    own = tmp_path / "data" / "mnist"
    write_pair(own, images_of(4), labels_of(4))
    (own / "train-labels-idx1-ubyte").unlink()
    (mirrors[1].folder / NAMES[0]).unlink()

    reader(tmp_path / "data")

    assert everything_under(own) == ["train-images-idx3-ubyte", NAMES[1]]


def test_a_mirror_that_sends_garbage_is_skipped(
    reader: type[MNIST], mirrors: list[Mirror], tmp_path: Path
) -> None:
    for name in NAMES:
        (mirrors[0].folder / name).write_bytes(b"<html>come back later</html>")
    assert len(reader(tmp_path / "data")) == 4


def test_a_mirror_without_the_file_is_skipped(reader: type[MNIST], tmp_path: Path) -> None:
    assert len(reader(tmp_path / "data")) == 4


def test_a_mirror_that_does_not_answer_is_skipped(
    reader: type[MNIST], mirrors: list[Mirror], tmp_path: Path
) -> None:
    mirrors[0].close()
    assert len(reader(tmp_path / "data")) == 4


def test_when_all_fail_one_message_says_everything_and_nothing_is_left(
    reader: type[MNIST], mirrors: list[Mirror], tmp_path: Path
) -> None:
    (mirrors[0].folder / NAMES[0]).write_bytes(b"garbage")
    mirrors[1].close()
    root = tmp_path / "data"

    with pytest.raises(DataError) as refused:
        reader(root)

    assert str(refused.value) == (
        "mnist: no folder has both train-images-idx3-ubyte and train-labels-idx1-ubyte, plain or "
        f".gz; searched: {root}/mnist, {root}; train-images-idx3-ubyte.gz could not be downloaded "
        f"({mirrors[0].address}: the sha256 checksum of the file is not the published one; "
        f"{mirrors[1].address}: ConnectionError)\n"
        "Put train-images-idx3-ubyte.gz and train-labels-idx1-ubyte.gz into "
        f"{root}/mnist, or set data.root to a folder that has both"
    )
    assert not root.exists()


def test_a_whole_file_stays_when_the_next_one_fails(
    reader: type[MNIST], mirrors: list[Mirror], tmp_path: Path
) -> None:
    (mirrors[1].folder / NAMES[1]).unlink()
    with pytest.raises(DataError, match=f"{NAMES[1]} could not be downloaded .*HTTP status 404"):
        reader(tmp_path / "data")
    assert everything_under(tmp_path / "data" / "mnist") == [NAMES[0]]


def test_other_published_digests_than_sha256_are_checked_too(
    mirrors: list[Mirror], tmp_path: Path
) -> None:
    (mirrors[0].folder / "notes").write_bytes(b"some notes")
    address = [mirrors[0].address]
    with pytest.raises(DataError, match="the md5 checksum of the file is not"):
        download("notes", f"md5:{'0' * 32}", address, tmp_path / "here")
    download("notes", f"md5:{hashlib.md5(b'some notes').hexdigest()}", address, tmp_path / "here")
    assert (tmp_path / "here" / "notes").read_bytes() == b"some notes"


def test_an_address_that_is_none_is_a_mirror_that_does_not_answer(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"notes could not be downloaded \(nowhere/: MissingSchema"):
        download("notes", "md5:0", ["nowhere/"], tmp_path)
    assert everything_under(tmp_path) == []


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
