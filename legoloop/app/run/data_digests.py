"""What the data sets of a run are, for its record: digests, and where they came from."""

from __future__ import annotations

from collections.abc import Mapping
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
        return {name: fingerprint(dataset) for name, dataset in datasets_of(app).items()}


def data_sources(app: Any) -> dict[str, str]:
    """Where each data set of an app came from, for those that say so in an attribute ``source``."""
    found = {name: getattr(dataset, "source", None) for name, dataset in datasets_of(app).items()}
    return {name: str(source) for name, source in found.items() if source is not None}


def datasets_of(app: Any) -> Mapping[str, Any]:
    """The data sets of an app by name; none for an app that has no such container."""
    data = app.providers.get("data")
    if not isinstance(data, providers.Container) or not hasattr(data, "datasets"):
        return {}
    datasets: Mapping[str, Any] = data.datasets()
    return datasets
