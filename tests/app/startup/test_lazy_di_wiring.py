"""dependency_injector's wiring works as ever, and costs nothing until it is used."""

from __future__ import annotations

import subprocess
import sys

import pytest

BEFORE = """
import sys
from legoloop.app.startup.lazy_di_wiring import execute_wiring_later

execute_wiring_later()
from dependency_injector import containers, providers

class Part(containers.DeclarativeContainer):
    number = providers.Object(5)

part = Part()
assert "werkzeug" not in sys.modules, "it looks for the frameworks already"
"""
INJECTED = """
@inject
def number(given=Provide[Part.number]):
    return given

part.wire(modules=[__name__])
assert number() == 5
part.unwire()
assert number() != 5
"""
USES = {
    "from": "from dependency_injector.wiring import inject, Provide",
    "module": """
import dependency_injector.wiring
inject, Provide = dependency_injector.wiring.inject, dependency_injector.wiring.Provide
assert sys.modules["dependency_injector.wiring"] is dependency_injector.wiring
""",
    "all": "from dependency_injector.wiring import *",
    "threads": """
from concurrent.futures import ThreadPoolExecutor
from dependency_injector import wiring
with ThreadPoolExecutor(8) as pool:
    (inject,) = set(pool.map(lambda _: wiring.inject, range(8)))
from dependency_injector.wiring import Provide
""",
    "wired first": """
part.wire(modules=[__name__])
part.unwire()
from dependency_injector.wiring import inject, Provide
""",
}
MISSING = """
import dependency_injector.wiring
for _ in range(2):
    try:
        dependency_injector.wiring.nothing
    except AttributeError:
        continue
    raise AssertionError
"""


@pytest.mark.parametrize("code", [*(use + INJECTED for use in USES.values()), MISSING])
def test_whatever_is_asked_of_it_first(code: str) -> None:
    used = '\nassert "werkzeug" in sys.modules'
    done = subprocess.run([sys.executable, "-c", BEFORE + code + used], stderr=subprocess.PIPE)
    assert done.returncode == 0, done.stderr.decode()


def test_one_that_is_there_already_stays() -> None:
    code = """
import dependency_injector.wiring as wiring, sys
from legoloop.app.startup.lazy_di_wiring import NAME, execute_wiring_later
names = set(vars(wiring))
execute_wiring_later()
assert sys.modules[NAME] is wiring and names == set(vars(wiring))
"""
    subprocess.run([sys.executable, "-c", code], check=True)
