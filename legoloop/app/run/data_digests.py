"""Digests of the data sets of a run and the files they come from, for its record."""

from __future__ import annotations

import os
from typing import Any

from dependency_injector import providers

from legoloop.core.rng import preserved_rng
from legoloop.data.fingerprint import fingerprint


def data_digests(app: Any) -> dict[str, str | None]:
    """The digest of each data set of an app by name; none for an app that has no such container.

    >>> from legoloop.app.compose import compose
    >>> sorted(data_digests(compose(["data=xor", "model=logistic", "loggers=[]"])))
    ['train', 'val']
    """
    with preserved_rng():
        return {name: fingerprint(dataset) for name, dataset in _datasets(app).items()}


def data_files(app: Any) -> dict[str, list[str]]:
    """The files that each data set of an app was read from, by name.

    A data set says so with an attribute ``files``; those that have none are left out.
    """
    found = {name: getattr(dataset, "files", None) for name, dataset in _datasets(app).items()}
    return {
        name: [os.path.abspath(file) for file in files]
        for name, files in found.items()
        if isinstance(files, list | tuple) and all(isinstance(f, str | os.PathLike) for f in files)
    }


def _datasets(app: Any) -> dict[str, Any]:
    data = app.providers.get("data")
    if not isinstance(data, providers.Container) or not hasattr(data, "datasets"):
        return {}
    found: dict[str, Any] = data.datasets()
    return found
