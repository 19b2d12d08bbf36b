"""Files from public mirrors."""

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
    """Put a file into a folder, from the first mirror that has it, with a progress bar.

    ``digest`` is the published one, as ``"sha256:440f…"``; ``mirrors`` are addresses that end in
    a slash. The file appears under its name only when it is whole and its digest is right.

    Raises MissingExtraError without the extra ``download``, and DataError, with a reason for each
    mirror, if none of them gives the file.
    """
    if find_spec("pooch") is None:
        raise MissingExtraError.of(f"downloading {name}", "pooch", "download")
    reasons = []
    for mirror in mirrors:
        with TemporaryDirectory() as temporary:
            try:
                fetched = _fetched(mirror + name, digest, Path(temporary))
            # What requests raises is an OSError; what an address that is none raises, a ValueError.
            except (OSError, ValueError) as error:
                reasons.append(f"{mirror}: {_reason(error)}")
                continue
            with atomic_write(folder / name) as draft:
                shutil.copyfile(fetched, draft)
            return
    raise DataError(f"no mirror gave {name} ({'; '.join(reasons)})")


def _fetched(address: str, digest: str, folder: Path) -> Path:
    import pooch

    algorithm, _, published = digest.partition(":")
    path = folder / "file"
    fetch = pooch.HTTPDownloader(
        progressbar=True, chunk_size=2**16, timeout=CONNECT_AND_READ_SECONDS
    )
    fetch(address, str(path), None)
    if pooch.file_hash(str(path), alg=algorithm) != published:
        raise ValueError(f"what it sent has another {algorithm} digest than the published one")
    return path


def _reason(error: Exception) -> str:
    """Short: what requests says of a failed connection fills five lines."""
    response = getattr(error, "response", None)
    if response is not None:
        return f"HTTP status {response.status_code}"
    return str(error) if type(error) is ValueError else type(error).__name__
