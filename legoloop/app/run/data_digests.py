"""Digests of the data sets of a run, for its record."""

from __future__ import annotations

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
    data = app.providers.get("data")
    if not isinstance(data, providers.Container) or not hasattr(data, "datasets"):
        return {}
    with preserved_rng():
        return {name: fingerprint(dataset) for name, dataset in data.datasets().items()}
