"""The manifest of a checkpoint: sizes and digests, so that damage shows before it is read."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from io import BufferedReader
from os import SEEK_END
from pathlib import Path
from typing import Any

from legoloop.core.errors import DataError
from legoloop.core.run_directory import CHECKPOINT_MANIFEST


@dataclass(frozen=True)
class FileDigest:
    """The size of a file in bytes and the SHA-256 of its content."""

    bytes: int
    sha256: str

    @classmethod
    def of(cls, content: BufferedReader) -> FileDigest:
        """Those of a file that is open at its beginning.

        >>> from io import BytesIO
        >>> FileDigest.of(BufferedReader(BytesIO(b"abc"))).bytes
        3
        """
        digest = hashlib.file_digest(content, "sha256").hexdigest()
        return cls(content.seek(0, SEEK_END), digest)


@dataclass(frozen=True)
class Manifest:
    """What a checkpoint holds: its files, when it was written, and how good it is.

    ``number`` grows with each checkpoint of a folder: the order in which they were written, which
    neither steps nor clocks give for sure. ``scalars`` hold the metric that it may be kept for.

    >>> manifest = Manifest(7, {"state.pt": FileDigest(3, "ba78")}, {"val/accuracy": 0.5})
    >>> Manifest.read(manifest.text()) == manifest
    True
    """

    number: int
    files: Mapping[str, FileDigest]
    scalars: Mapping[str, float] = field(default_factory=dict)

    def text(self) -> str:
        """As JSON, with a checksum of itself."""
        content = asdict(self)
        return json.dumps({**content, "checksum": _checksum(content)}, indent=2) + "\n"

    @classmethod
    def read(cls, text: str) -> Manifest:
        """The manifest of a text; raises ValueError unless ``text()`` gives just that text."""
        try:
            content = json.loads(text)
            files = {name: FileDigest(**facts) for name, facts in content["files"].items()}
            scalars = {tag: float(value) for tag, value in content["scalars"].items()}
            found = cls(int(content["number"]), files, scalars)
        except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError):
            raise ValueError("not a manifest") from None
        if found.text() != text:
            raise ValueError("not the text that was written")
        return found


def read_manifest(checkpoint: Path) -> Manifest:
    """The manifest of a checkpoint.

    Raises DataError for a folder without one, for one that is damaged, and for links.
    """
    reject_outside_link(checkpoint)
    file = checkpoint / CHECKPOINT_MANIFEST
    reject_outside_link(file)
    if not file.is_file():
        raise DataError(f"{checkpoint} is no checkpoint: it has no {CHECKPOINT_MANIFEST}")
    try:
        return Manifest.read(file.read_bytes().decode())
    except (OSError, ValueError):
        raise DataError(
            f"{file} is damaged: it does not list the files of a checkpoint as it did"
        ) from None


def reject_outside_link(path: Path) -> None:
    """Raises DataError for a link that leads out of the folder it lies in.

    >>> reject_outside_link(Path("nowhere"))
    """
    if path.is_symlink() and not path.resolve().is_relative_to(path.parent.resolve()):
        raise DataError(f"{path} is a link to {path.resolve()}; put there what it leads to")


def _checksum(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
