"""Downloads files from public mirrors."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

from legoloop.core.atomic_files import atomic_write
from legoloop.core.errors import DataError, MissingExtraError

CONNECT_AND_READ_SECONDS = (5, 30)


def download(name: str, digest: str, mirrors: Sequence[str], folder: Path) -> None:
    """Download a file from the first mirror that serves it, with a progress bar.

    The file appears under its name only when it is complete and its checksum is right.

    Args:
        name: of the file, on the mirrors and in the folder.
        digest: the published checksum, such as ``"sha256:440f…"``.
        mirrors: URLs that end in a slash.
        folder: where the file is stored.

    Raises:
        MissingExtraError: without the extra ``download``.
        DataError: if no mirror serves the file, with a reason for each.
    """
    if find_spec("pooch") is None:
        raise MissingExtraError.of(f"downloading {name}", "pooch", "download")
    reasons = []
    for mirror in mirrors:
        with TemporaryDirectory() as temporary:
            try:
                downloaded = _download_from(mirror + name, digest, Path(temporary))
            # requests raises an OSError, a malformed URL a ValueError.
            except (OSError, ValueError) as error:
                reasons.append(f"{mirror}: {_reason(error)}")
                continue
            with atomic_write(folder / name) as copy:
                shutil.copyfile(downloaded, copy)
            return
    raise DataError(f"{name} could not be downloaded ({'; '.join(reasons)})")


def _download_from(url: str, digest: str, folder: Path) -> Path:
    import pooch

    algorithm, _, published = digest.partition(":")
    path = folder / "file"
    fetch = pooch.HTTPDownloader(
        progressbar=True, chunk_size=2**16, timeout=CONNECT_AND_READ_SECONDS
    )
    fetch(url, str(path), None)
    if pooch.file_hash(str(path), alg=algorithm) != published:
        raise ValueError(f"the {algorithm} checksum of the file is not the published one")
    return path


def _reason(error: Exception) -> str:
    """A short reason: the message of requests for a failed connection fills five lines."""
    response = getattr(error, "response", None)
    if response is not None:
        return f"HTTP status {response.status_code}"
    return str(error) if type(error) is ValueError else type(error).__name__
