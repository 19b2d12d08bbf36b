"""setup.cfg lists the packages by hand; here the list is held against the tree."""

from __future__ import annotations

from configparser import ConfigParser
from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_setup_cfg_lists_every_package() -> None:
    setup = ConfigParser()
    setup.read(ROOT / "setup.cfg")
    listed = setup["options"]["packages"].split()
    found = [
        ".".join(init.parent.relative_to(ROOT).parts)
        for folder in ("legoloop", "hydra_plugins")
        for init in (ROOT / folder).rglob("__init__.py")
    ]
    assert sorted(listed) == sorted([*found, "legoloop.conf"])


def test_conf_holds_nothing_but_what_ships() -> None:
    kinds = {path.suffix for path in (ROOT / "conf").rglob("*.*") if path.is_file()}
    assert kinds - {".pyc"} == {".py", ".yaml"}


def test_all_that_a_page_is_made_of_ships() -> None:
    setup = ConfigParser()
    setup.read(ROOT / "setup.cfg")
    folder = ROOT / "legoloop" / "results" / "page"
    patterns = setup["options.package_data"]["legoloop.results.page"].split(",")
    shipped = {path for pattern in patterns for path in folder.glob(pattern.strip())}
    assert {path for path in (folder / "assets").rglob("*") if path.is_file()} <= shipped
