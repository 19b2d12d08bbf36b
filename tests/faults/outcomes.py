"""What a run leaves, as digests of raw bytes: nothing here is equal that differs in a bit."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter as Multiset
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from legoloop.core.growing_state import from_text
from legoloop.state.checkpoints import read_newest
from legoloop.state.run_record import read_record


@dataclass(frozen=True)
class Outcome:
    """The digest of each part by its name."""

    parts: Mapping[str, str]

    @classmethod
    def of(cls, directory: Path, consumed: Path) -> Outcome:
        """What is in a run directory, and what the user's plugin wrote down beside it."""
        found = {"status": read_record(directory)["status"], "files": _files(directory)}
        if (newest := read_newest(directory / "checkpoints")) is not None:
            found["last checkpoint"] = newest[0].name
            found |= {f"state: {key}": digest(part) for key, part in _parts(newest[1])}
        for name in ("metrics.csv", "predicts.csv", "config.yaml", "plan.txt"):
            found[name] = _digest_of_file(directory / name, directory.parent)
        found["weights"] = _weights(directory / "weights")
        found["events"] = digest(sorted(events(directory / "logs").items()))
        found["consumed"] = digest(sorted(steps(consumed).items()))
        return cls(found)

    def differs_from(self, expected: Outcome, ignoring: Collection[str] = ()) -> str | None:
        """The parts that are not the same; None if all are."""
        names = (self.parts.keys() | expected.parts.keys()) - {*ignoring}
        wrong = [n for n in sorted(names) if self.parts.get(n) != expected.parts.get(n)]
        return f"not equal: {', '.join(wrong)}" if wrong else None


def steps(consumed: Path) -> dict[int, str]:
    """What each step was made with, when it was made last."""
    lines = consumed.read_text().splitlines() if consumed.exists() else []
    return {json.loads(line)["step"]: line for line in lines}


def digest(value: Any) -> str:
    """The SHA-256 of a nested value, of tensors their raw bytes."""
    sha = hashlib.sha256()
    _add(sha, value)
    return sha.hexdigest()


def events(folder: Path) -> Multiset[tuple[int, str, float]]:
    """The (step, tag, value) of all event files, and how many times each is there."""
    from tensorboard.backend.event_processing.event_file_loader import RawEventFileLoader
    from tensorboard.compat.proto.event_pb2 import Event

    found: Multiset[tuple[int, str, float]] = Multiset()
    for file in filter(Path.is_file, folder.rglob("*")):
        for record in RawEventFileLoader(str(file)).Load():
            event = Event.FromString(record)
            for value in event.summary.value:
                found[event.step, value.tag, value.simple_value] += 1
    return found


def _add(sha: Any, value: Any) -> None:
    import torch

    if isinstance(value, torch.Tensor):
        sha.update(f"{value.dtype}{tuple(value.shape)}{value.requires_grad}".encode())
        sha.update(value.detach().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    elif isinstance(value, Mapping):
        for key, each in value.items():
            sha.update(f"{key!r}:".encode())
            _add(sha, each)
    elif isinstance(value, list | tuple):
        sha.update(f"{type(value).__name__}{len(value)}".encode())
        for each in value:
            _add(sha, each)
    else:
        sha.update(f"{type(value).__name__}{value!r};".encode())


def _parts(state: dict[str, Any]) -> list[tuple[str, Any]]:
    """The state by plugin; without what the clock of the wall said."""
    plugins = {name: dict(plugin) for name, plugin in state["plugins"].items()}
    if "tensorboard" in plugins:
        record = from_text(plugins["tensorboard"]["record"])
        plugins["tensorboard"]["record"] = [event[:3] for event in record]
    if "progress" in plugins:
        del plugins["progress"]["seconds"]
    rest = {key: value for key, value in state.items() if key != "plugins"}
    return [*sorted(plugins.items()), *sorted(rest.items())]


def _weights(file: Path) -> str:
    import torch

    return digest(torch.load(file, weights_only=True)) if file.exists() else "absent"


def _digest_of_file(file: Path, here: Path) -> str:
    if not file.exists():
        return "absent"
    return hashlib.sha256(file.read_bytes().replace(str(here).encode(), b"HERE")).hexdigest()


def _files(directory: Path) -> str:
    """Every name in the run directory; that of an event file has the time and a number in it."""
    names = {
        re.sub(r"tfevents\.[^/]*", "tfevents", str(path.relative_to(directory)))
        for path in directory.rglob("*")
        if path.relative_to(directory).parts[0] not in ("attempts", ".run.lock")
    }
    return digest(sorted(names))
