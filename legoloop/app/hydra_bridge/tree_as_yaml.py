"""A configuration as YAML, such as ``config.yaml`` of a run."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

import yaml
from omegaconf import OmegaConf

from legoloop.core.text import is_number

YAML_1_1_BOOLS = frozenset(("y", "Y", "n", "N"))
"""PyYAML reads these as text, other readers do not."""


def tree_as_yaml(tree: Mapping[str, Any]) -> str:
    """What ``OmegaConf.to_yaml`` writes, in a tenth of its time where the values are plain.

    >>> print(tree_as_yaml({"lr": 0.1, "name": "1e-3", "layers": [2, None]}), end="")
    lr: 0.1
    name: '1e-3'
    layers:
    - 2
    - null
    """
    try:
        text: str = yaml.dump(dict(tree), Dumper=_dumper(), sort_keys=False, allow_unicode=True)
    except yaml.representer.RepresenterError:  # an object that was put into the container
        config = OmegaConf.create(dict(tree), flags={"allow_objects": True})
        return OmegaConf.to_yaml(config)
    return text


@cache
def _dumper() -> Any:
    compiled: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
    dumper: Any = type("_Dumper", (compiled,), {"ignore_aliases": lambda *_: True})
    dumper.add_representer(str, _represent_text)
    return dumper


def _represent_text(dumper: Any, text: str) -> Any:
    """In quotes where OmegaConf would read a number, or YAML 1.1 a bool."""
    style = "'" if text in YAML_1_1_BOOLS or is_number(text) else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)
