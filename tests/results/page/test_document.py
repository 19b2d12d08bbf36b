from __future__ import annotations

import gzip
import re
from base64 import b64decode, b64encode
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest

from legoloop.core.errors import DataError
from legoloop.results.page import write_page
from legoloop.results.page.content import BYTES, FEW, page_bytes
from legoloop.results.page.document import SCRIPTS, asset, document
from legoloop.results.reading import read_runs
from tests.results.made_runs import made_run
from tests.results.page.shown_runs import shown_sweep

OWN = ["start.js", *(name for name in SCRIPTS if not name.startswith("uplot/"))]


def scripts(page: str) -> list[str]:
    return re.findall(r'<script type="module">(.*?)</script>', page, re.DOTALL)


def test_only_the_pages_own_script_may_run_and_nothing_may_be_loaded() -> None:
    page = document({"title": "</script><script>alert(1)</script>"})
    (script,) = scripts(page)
    digest = b64encode(sha256(script.encode()).digest()).decode()
    assert f"default-src 'none'; script-src 'sha256-{digest}' blob:; " in page
    assert "connect-src" not in page
    assert "connect-src 'self'" in document({}, connects=True)
    assert "alert" not in page
    assert page.count("<script") == 3


def test_uplot_is_there_whole_with_its_licence() -> None:
    page = document({})
    (code,) = re.findall(r'id="code">(.*?)</script>', page)
    uplot = asset("uplot/uPlot.iife.min.js")
    assert uplot.strip() in gzip.decompress(b64decode(code)).decode()
    assert "v1.6.32" in uplot
    assert "Copyright (c) 2022 Leon Sorokin" in page
    assert "Permission is hereby granted" in page


@pytest.mark.parametrize("name", OWN)
def test_a_script_makes_no_markup_of_texts(name: str) -> None:
    forbidden = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|new Function"
    assert re.search(forbidden, asset(name)) is None
    assert "http" not in asset(name)


def test_a_page_of_few_runs_with_long_curves_is_small(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    tags = ["loss", "val/loss", "val/accuracy", "lr"]
    for job in range(FEW):
        rows = rng.normal(size=(2000, len(tags)))
        lines = [f"{n},{n},{','.join(map(str, row))}" for n, row in enumerate(rows, 1)]
        text = "\n".join([",".join(["step", "epoch", *tags]), *lines, ""])
        final = dict(zip(tags, rows[-1].tolist(), strict=True))
        made_run(tmp_path, str(job), {"seed": job}, final, metrics=text)
    size = write_page(tmp_path / "a.html", read_runs(tmp_path).runs, [tmp_path])
    assert size <= page_bytes(FEW) == BYTES <= 150_000


def test_a_page_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "results.html").mkdir()
    (tmp_path / "results.html" / "a").touch()
    runs = read_runs(shown_sweep(tmp_path)).runs
    with pytest.raises(DataError, match=r"results\.html cannot be written"):
        write_page(tmp_path / "results.html", runs, [tmp_path])
