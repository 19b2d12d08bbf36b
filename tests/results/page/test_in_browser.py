"""The page in a real Chromium, without a network. Skipped where there is none."""

from __future__ import annotations

import json
import re
import statistics
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest

from legoloop.board import Board
from legoloop.results.choosing import Condition
from legoloop.results.page import live, write_page
from legoloop.results.reading import read_runs
from tests.browser import chromium, chromium_path
from tests.results.made_runs import made_run
from tests.results.page.shown_runs import EPOCHS, LRS, SEEDS, accuracy, loss, shown_sweep

playwright_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
if chromium_path() is None:
    pytest.skip("there is no Chromium on this machine", allow_module_level=True)

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page

HOSTILE = [
    "<script>window.ran=1</script>",
    "</script><script>window.ran=1</script>",
    "<img src=x onerror=window.ran=1>",
    "\"'><svg onload=window.ran=1>",
    "<!-- & &lt; {{content}} ${1} `",
]


@dataclass
class Opened:
    """A page that was opened, and all that it said and asked for."""

    page: Page
    said: list[str] = field(default_factory=list)
    requested: list[str] = field(default_factory=list)

    def open(self, path: Path, **state: Any) -> Page:
        """Open the file with this state in its URL, once it is drawn."""
        pairs = (
            f"{key}={quote(value if isinstance(value, str) else json.dumps(value))}"
            for key, value in state.items()
        )
        self.page.goto("about:blank")
        self.requested.clear()
        self.page.goto(f"{path.as_uri()}#{'&'.join(pairs)}")
        return self.drawn()

    def drawn(self, metric: str | None = None) -> Page:
        """The page, once it is drawn."""
        selector = "html[data-drawn]" if metric is None else f"html[data-drawn='{metric}']"
        self.page.wait_for_selector(selector, state="attached")
        return self.page


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with playwright_api.sync_playwright() as playwright:
        launched = chromium(playwright)
        yield launched
        launched.close()


@pytest.fixture
def opened(browser: Browser) -> Iterator[Opened]:
    """A page of a browser without a network; what it complains of fails the test."""
    context = browser.new_context(offline=True, viewport={"width": 1480, "height": 980})
    context.set_default_timeout(20_000)
    opened = Opened(context.new_page())
    opened.page.on("console", lambda message: opened.said.append(message.text))
    opened.page.on("pageerror", lambda error: opened.said.append(str(error)))
    opened.page.on("request", lambda request: opened.requested.append(request.url))
    yield opened
    context.close()
    assert opened.said == []


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of nine runs; it lies in their folder."""
    folder = shown_sweep(tmp_path_factory.mktemp("made") / "sweep")
    return written(folder)


def written(folder: Path) -> Path:
    path = folder / "results.html"
    found = read_runs(folder)
    write_page(path, found.runs, [folder], found.problems)
    return path


def names(page: Page) -> list[str]:
    """The runs in the table, in its order."""
    focused = "buttons => buttons.map(button => button.dataset.focus.replace('mark ', ''))"
    found: list[str] = page.locator("#table tbody .name").evaluate_all(focused)
    return found


def column(page: Page, head: str) -> list[str]:
    """The cells of a column of the table."""
    heads = [text.rstrip("▲▼") for text in page.locator("#table thead th").all_inner_texts()]
    place = heads.index(head) + 1
    return page.locator(f"#table tbody tr > :nth-child({place})").all_inner_texts()


def head(page: Page, key: str) -> Locator:
    return page.get_by_role("columnheader", name=key, exact=True)


def tip_at(page: Page, x: float, y: float) -> str:
    """What is told of the curve at this place of the plot, in shares of its size."""
    box = page.locator("#plot .u-over").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] * x, box["y"] + box["height"] * y)
    tip = page.locator("#plot .tip")
    return tip.inner_text() if tip.is_visible() else ""


def tips(page: Page, x: float) -> set[str]:
    """What is told from top to bottom at one x."""
    return {tip_at(page, x, y / 30) for y in range(31)} - {""}


def test_it_opens_from_a_file_and_asks_for_nothing(opened: Opened, sweep: Path) -> None:
    page = opened.open(sweep)
    elsewhere = [url for url in opened.requested if not url.startswith(("blob:", "data:"))]
    assert elsewhere == [sweep.as_uri()]
    assert page.title() == "sweep · runs"
    assert page.locator("#summary").inner_text().split("\n")[:2] == ["8 completed", "1 failed"]
    best = page.locator(".best").inner_text()
    assert best == "★ best val/accuracy 0.8313 · run 2 · seed 2 · optimizer.lr 0.1"


@pytest.mark.slow
def test_texts_of_runs_are_never_markup(opened: Opened, tmp_path: Path) -> None:
    folder = tmp_path / HOSTILE[0].replace("/", "\N{DIVISION SLASH}")
    for job, text in enumerate(HOSTILE):
        made_run(
            folder,
            f"{job} {text}".replace("/", "\N{DIVISION SLASH}"),
            {"seed": job, "key": text, text: job},
            {"val/accuracy": 0.5, text: 0.1 * job},
            status="FAILED",
            cause=text,
            git={"commit": text, text: text},
            metrics=f'step,epoch,val/accuracy,"{text.replace(chr(34), chr(34) * 2)}"\n1,1,0.5,1\n',
            predicts=f'idx,logit0,logit1\n"{text.replace(chr(34), chr(34) * 2)}",{job % 2},0.5\n',
            **{"name": text, "notes": text, "tags": [text, "hostile"]},
        )
    path = written(folder)
    page = opened.open(path, metric=HOSTILE[0], colour="key", marked=[])
    for run in range(2):
        page.locator("#table tbody .name").nth(run).click()
    page.wait_for_selector("#details .compare")
    assert page.locator("#details").inner_text().count(HOSTILE[0]) >= 1
    page.get_by_role("button", name="Clear marks").click()
    page.locator("#table tbody .name").nth(1).click()
    page.wait_for_selector("#details .cause")
    assert page.locator("#details .cause").inner_text() in HOSTILE
    assert page.locator("#details .title").inner_text() in HOSTILE
    assert page.locator("#details .tag").all_inner_texts()[0] in HOSTILE
    page.get_by_label("Filter").fill("tags=hostile status=FAILED")
    page.wait_for_selector(f"#tools .note:text-is('{len(HOSTILE)} of {len(HOSTILE)}')")
    page.get_by_label("Filter").fill("tags!=hostile")
    page.wait_for_selector(f"#tools .note:text-is('0 of {len(HOSTILE)}')")
    page.get_by_label("Filter").fill("")
    page.locator("#columns summary").click()
    for x in range(20):
        tip_at(page, x / 20, 0.5)
    assert page.evaluate("[window.ran, document.scripts.length, document.images.length]") == [
        None,
        3,
        0,
    ]
    assert page.locator("svg").count() == 0


@pytest.mark.slow
def test_names_that_javascript_knows_are_names_like_others(opened: Opened, tmp_path: Path) -> None:
    for job in range(2):
        made_run(
            tmp_path,
            str(job),
            {"constructor": job, "toString": 7, "__proto__": job},
            {"__proto__": 0.5, **({"constructor": 0.25} if job else {})},
            metrics=f"step,epoch,__proto__,{'constructor' if job else 'valueOf'}\n1,1,0.5,0.25\n",
        )
    metric = "metric constructor"  # there is a key of that name
    page = opened.open(written(tmp_path), metric=metric, colour="__proto__")
    assert page.locator("#curves-title").inner_text() == f"{metric} by step"
    told = tips(page, 0.5)
    assert [tip.split("\n")[:3] for tip in told] == [["run 1", f"{metric} 0.25", "step 1"]]
    page.get_by_label("Filter").fill("toString=7 constructor=1")
    page.wait_for_selector("#tools .note:text-is('1 of 2')")
    page.get_by_label("Filter").fill("hasOwnProperty=1")
    page.wait_for_selector("#problem:text-is('hasOwnProperty: no run has such a key')")


@pytest.mark.slow
def test_a_metric_is_chosen_and_the_link_shows_the_same(opened: Opened, sweep: Path) -> None:
    page = opened.open(sweep)
    page.get_by_label("Metric").select_option("val/loss")
    opened.drawn("val/loss")
    page.get_by_label("Log").check()
    page.get_by_label("By", exact=True).select_option("epoch")
    page.get_by_label("Filter").fill("seed>0")
    page.wait_for_function("() => location.hash.includes('where')")
    link = page.evaluate("location.hash")
    page.goto("about:blank")
    page.goto(sweep.as_uri() + link)
    opened.drawn("val/loss")
    assert page.locator("#curves-title").inner_text() == "val/loss by epoch"
    assert page.get_by_label("Log").is_checked()
    assert page.get_by_label("Filter").input_value() == "seed>0"
    assert len(names(page)) == 6
    assert page.locator(".best").inner_text().startswith("★ best val/loss 0.0002 · run 1")


@pytest.mark.slow
@pytest.mark.parametrize(
    "hash", ["metric=gone&colour=gone&sort=gone", "marked=[1]", "brush=7", "a"]
)
def test_a_link_that_is_wrong_shows_what_it_can(opened: Opened, sweep: Path, hash: str) -> None:
    opened.page.goto(f"{sweep.as_uri()}#{hash}")
    assert len(names(opened.drawn())) == 9


@pytest.mark.slow
def test_curves_have_the_values_of_the_files(opened: Opened, sweep: Path) -> None:
    page = opened.open(sweep, metric="val/loss", log=True)
    told = tips(page, 0.998)
    expected = {f"{loss(lr, seed, EPOCHS):.4g}" for lr in LRS for seed in SEEDS}
    found = {re.search(r"val/loss (\S+)", tip)[1] for tip in told}  # type: ignore[index]
    assert len(found) > 2
    assert {float(text) for text in found} <= {float(text) for text in expected}
    assert all(f"step {10 * EPOCHS}" in tip for tip in told)


@pytest.mark.slow
def test_means_over_seeds_have_the_sample_deviation(opened: Opened, sweep: Path) -> None:
    page = opened.open(sweep, lines="seeds", x="epoch")
    at_the_end = {lr: [accuracy(lr, seed, EPOCHS) for seed in SEEDS] for lr in LRS}
    told = tips(page, 0.998)
    assert len(told) == len(LRS)
    for tip in told:
        found = re.match(r"optimizer.lr (\S+)\nval/accuracy (\S+) ± (\S+)\n", tip)
        assert found, tip
        lr, mean, std = map(float, found.groups())
        assert mean == pytest.approx(statistics.mean(at_the_end[lr]), rel=1e-3)
        assert std == pytest.approx(statistics.stdev(at_the_end[lr]), rel=1e-3)
    assert all(f"epoch {EPOCHS} · 3 runs" in tip for tip in told)


CONDITIONS = [
    "optimizer.lr<=1e-2",
    "optimizer.lr=0.10",
    "optimizer.lr!=1e-1",
    "optimizer.betas=[0.9,0.99]",
    "seed>=1",
    "seed<0.5",
    "status=FAILED",
    "status!=FAILED",
    "run=3",
    "val/accuracy>0.7",
    "num_epochs=5",
    "num_epochs=6",
    "cause=no",
    "plugins.worst._target_=legoloop.WorstErrors",
]


@pytest.mark.slow
def test_the_filter_selects_what_the_command_selects(opened: Opened, sweep: Path) -> None:
    page = opened.open(sweep, sort="run")
    runs = read_runs(sweep.parent).runs
    for text in CONDITIONS:
        page.get_by_label("Filter").fill(text)
        expected = [run.name for run in runs if Condition.parse(text).holds(run)]
        page.wait_for_selector(f"#tools .note:text-is('{len(expected)} of 9')")
        assert names(page) == expected, text
    page.get_by_label("Filter").fill("seed=1 status=COMPLETED")
    page.wait_for_selector("#tools .note:text-is('3 of 9')")
    assert names(page) == ["1", "4", "7"]


@pytest.mark.slow
def test_a_wrong_filter_says_what_is_wrong_and_hides_nothing(opened: Opened, sweep: Path) -> None:
    page = opened.open(sweep)
    for text, problem in {
        "lr=1": "lr: no run has such a key; did you mean optimizer.lr?",
        "hello": "hello: write KEY=VALUE, for instance status=FAILED",
        "seed<x": "seed<x: 'x' is not a number",
    }.items():
        page.get_by_label("Filter").fill(text)
        page.wait_for_selector(f'#problem:text-is("{problem}")')
        assert len(names(page)) == 9


@pytest.mark.slow
def test_heads_sort_by_mouse_and_by_keyboard(opened: Opened, sweep: Path) -> None:
    page = opened.open(sweep)
    assert head(page, "val/accuracy").get_attribute("aria-sort") == "descending"
    found = [float(text) for text in column(page, "val/accuracy")]
    assert found == sorted(found, reverse=True)
    page.get_by_role("button", name="val/loss", exact=True).click()
    assert head(page, "val/loss").get_attribute("aria-sort") == "ascending"
    assert names(page)[0] == "0"
    page.keyboard.press("Enter")  # the head keeps the focus
    assert head(page, "val/loss").get_attribute("aria-sort") == "descending"
    assert names(page)[0] == "8"


@pytest.mark.slow
def test_two_marked_runs_are_compared(opened: Opened, sweep: Path) -> None:
    page = opened.open(sweep)
    page.get_by_role("button", name="0", exact=True).focus()
    page.keyboard.press("Space")
    page.wait_for_selector("#details h2:text-is('Run 0')")
    page.get_by_role("button", name="8", exact=True).click()
    page.wait_for_selector("#details .compare")
    rows = {
        tuple(row.locator("th, td").all_inner_texts())
        for row in page.locator("#details .compare tbody tr").all()
    }
    assert ("optimizer.lr", "0.1", "0.001", "\N{MINUS SIGN}0.099") in rows
    assert ("commit", "a" * 40, "b" * 40, "") in rows
    assert ("cause", "", "no more <b>memory</b>", "") in rows
    assert ("status", "COMPLETED", "FAILED", "") in rows
    details = page.locator("#details").inner_text()
    assert "8 of 10 samples changed their predicted class" in details
    assert page.get_by_role("button", name="8", exact=True).get_attribute("aria-pressed") == "true"
    assert page.evaluate("decodeURIComponent(location.hash)") == '#marked=["0","8"]'


def test_one_run_shows_its_mistakes_and_its_commands(opened: Opened, sweep: Path) -> None:
    page = opened.open(sweep, marked=["8"])
    details = page.locator("#details")
    assert details.locator(".cause").inner_text() == "no more <b>memory</b>"
    assert details.locator("figcaption").all_inner_texts() == ["0 → 1\n17", "1 → 0\n4"]
    assert details.locator(".tile").first.evaluate("tile => tile.clientWidth") == 72
    cells = details.get_by_role("table", name="a row for each target").get_by_role("cell")
    assert [text for text in cells.all_inner_texts() if text] == ["7", "1", "2", "9"]
    commands = details.locator("code").all_inner_texts()
    assert commands == [
        f"python -m legoloop.run rerun={sweep.parent}/8",
        f"python -m legoloop.evaluate {sweep.parent}/8",
    ]
    details.get_by_text(re.compile("Configuration, .* keys")).click()
    assert "num_epochs" in details.inner_text()


@pytest.mark.slow
def test_rows_are_pinned_hidden_and_columns_chosen(opened: Opened, sweep: Path) -> None:
    page = opened.open(sweep)
    page.locator("tr", has=page.get_by_role("button", name="7", exact=True)).hover()
    page.get_by_role("button", name="Pin 7").click()
    assert names(page)[0] == "7"
    page.get_by_role("button", name="Hide 2").focus()
    page.keyboard.press("Enter")
    assert "2" not in names(page)
    assert "run 1" in page.locator(".best").inner_text()
    page.get_by_role("button", name="Show 1 hidden").click()
    assert "2" in names(page)
    page.get_by_text("Columns").click()
    page.get_by_role("checkbox", name="data.seed").check()
    assert column(page, "data.seed") == column(page, "seed")
    page.get_by_role("checkbox", name="status").uncheck()
    assert head(page, "status").count() == 0


@pytest.mark.slow
def test_a_brush_selects_and_is_cleared(opened: Opened, sweep: Path) -> None:
    page = opened.open(sweep)
    box = page.locator("#parallel").bounding_box()
    assert box is not None
    x, top, tall = box["x"] + 45.5, box["y"] + 26, box["height"] - 56  # the first axis: the seed
    page.mouse.move(x, top - 5)
    page.mouse.down()
    page.mouse.move(x, top + tall / 4, steps=3)
    page.mouse.up()
    page.wait_for_selector("#tools .note:text-is('3 of 9')")
    assert set(column(page, "seed")) == {"2"}
    page.get_by_role("button", name="Clear brushes").click()
    page.wait_for_selector("#tools .note:text-is('9 of 9')")


@pytest.mark.slow
def test_dragging_zooms_until_a_double_click(opened: Opened, sweep: Path) -> None:
    page = opened.open(sweep)
    box = page.locator("#plot .u-over").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 0.1 * box["width"], box["y"] + 10)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.6 * box["width"], box["y"] + box["height"] - 10, steps=4)
    page.mouse.up()
    zoomed = {re.search(r"step (\d+)", tip)[1] for tip in tips(page, 0.9)}  # type: ignore[index]
    assert zoomed == {"30"}
    page.get_by_role("button", name="4", exact=True).click()
    assert all("step 30" in tip for tip in tips(page, 0.9))
    page.mouse.dblclick(box["x"] + 0.5 * box["width"], box["y"] + 0.5 * box["height"])
    assert any("step 50" in tip for tip in tips(page, 0.998))


@pytest.mark.slow
def test_pointing_at_a_row_marks_it_everywhere(opened: Opened, sweep: Path) -> None:
    page = opened.open(sweep)
    painted = "id => document.querySelector(id).toDataURL()"
    layers = ["#plot .u-over canvas", "#scatter .over", "#parallel .over"]
    before = [page.evaluate(painted, layer) for layer in layers]
    page.locator("#table tbody tr").nth(4).hover()
    pointed = [page.evaluate(painted, layer) for layer in layers]
    assert all(one != other for one, other in zip(before, pointed, strict=True))
    page.mouse.move(5, 5)
    assert [page.evaluate(painted, layer) for layer in layers] == before


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_light_and_dark_follow_the_system_until_chosen(
    browser: Browser, sweep: Path, scheme: Any
) -> None:
    page = browser.new_page(color_scheme=scheme, offline=True)
    page.goto(sweep.as_uri())
    page.wait_for_selector("html[data-drawn]", state="attached")
    background = "getComputedStyle(document.body).backgroundColor"
    light, dark = "rgb(246, 247, 249)", "rgb(18, 22, 27)"
    assert page.evaluate(background) == {"light": light, "dark": dark}[scheme]
    other = {"light": "dark", "dark": "light"}[scheme]
    page.get_by_label("Theme").select_option(other)
    assert page.evaluate(background) == {"light": light, "dark": dark}[other]
    assert f"theme={other}" in page.url
    page.close()


@pytest.mark.slow
def test_what_can_be_worked_has_a_name_and_a_role(opened: Opened, sweep: Path) -> None:
    page = opened.open(sweep)
    for control in page.locator("button, select, input").all():
        name = control.evaluate(
            "item => item.ariaLabel || item.textContent.trim() || item.labels?.[0]?.textContent"
        )
        assert name, control.evaluate("item => item.outerHTML")
    table = page.get_by_role("table", name=re.compile("9 of 9 runs"))
    assert table.get_by_role("row").count() == 10
    assert table.get_by_role("rowheader").count() == 9
    assert table.get_by_role("columnheader").count() == page.locator("#table thead th").count()
    for picture in ("#scatter", "#parallel"):
        assert "val/accuracy" in (page.locator(picture).get_attribute("aria-label") or "")


@pytest.mark.slow
def test_what_is_thinned_out_is_said(opened: Opened, tmp_path: Path) -> None:
    rows = "".join(f"{n},{n},{n % 7}\n" for n in range(1, 3001))
    made_run(tmp_path, "0", {"seed": 0}, {"val/loss": 1.0}, metrics=f"step,epoch,val/loss\n{rows}")
    page = opened.open(written(tmp_path))
    note = page.locator("#curves-note").inner_text()
    assert note.startswith("Curves of up to 3,000 points are thinned out to about 600")


@pytest.mark.slow
def test_what_could_not_be_read_is_said(opened: Opened, tmp_path: Path) -> None:
    made_run(tmp_path, "0", {"seed": 0}, {"val/loss": 1.0}, metrics="step,val/loss\n1,x\n")
    made_run(tmp_path, "1", {"seed": 1})
    (tmp_path / "1" / "run.json").write_text("{")
    page = opened.open(written(tmp_path))
    page.get_by_text("2 could not be read").click()
    problems = page.locator("footer li").all_inner_texts()
    assert any("metrics.csv" in problem for problem in problems)
    assert any("run.json" in problem for problem in problems)


@pytest.mark.slow
def test_a_run_without_anything_is_shown(opened: Opened, tmp_path: Path) -> None:
    made_run(tmp_path, "0", status="FAILED", cause="early")
    page = opened.open(written(tmp_path))
    assert names(page) == ["0"]
    assert page.locator("#details").inner_text().startswith("Details")


@pytest.mark.slow
def test_a_narrow_window_has_one_column(opened: Opened, sweep: Path) -> None:
    opened.page.set_viewport_size({"width": 480, "height": 900})
    page = opened.open(sweep)
    assert page.evaluate("document.documentElement.scrollWidth") <= 480


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Board]:
    """A board of an empty folder."""
    monkeypatch.setattr(live, "MIN_SECONDS", 0.0)
    board = Board(live.LiveRuns([tmp_path]), port=0)
    thread = threading.Thread(target=board.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield board
    board.shutdown()
    board.server_close()
    thread.join()


@pytest.mark.slow
def test_a_board_follows_the_runs(browser: Browser, served: Board, tmp_path: Path) -> None:
    page = browser.new_page()
    page.set_default_timeout(20_000)
    page.add_init_script(
        "globalThis.setTimeout = (real => (f, ms) => real(f, ms / 20))(setTimeout)"
    )
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(served.url)
    page.wait_for_selector("html[data-drawn]", state="attached")
    assert names(page) == []
    jobs = [["seed=0"], ["seed=1"], ["seed=2"]]
    (tmp_path / "sweep.json").write_text(json.dumps({"started": "2026-11-22", "jobs": jobs}))
    rows = "step,epoch,val/loss\n10,1,0.5\n"
    first = made_run(tmp_path, "0", {"seed": 0}, {"val/loss": 0.5}, metrics=rows)
    page.wait_for_selector("#table .name")
    assert page.locator("#summary").inner_text().startswith("1 completed\n2 not begun")
    made_run(tmp_path, "1", {"seed": 1}, {"val/loss": 0.75}, metrics=rows)
    page.wait_for_selector("#table tr:nth-child(2) .name")
    assert names(page) == ["0", "1"]
    page.get_by_label("By", exact=True).select_option("epoch")
    (first / "metrics.csv").write_text(rows + "20,2,0.25\n")
    (first / "run.json").write_text((first / "run.json").read_text().replace("0.5", "0.25"))
    page.wait_for_selector("#table td:text-is('0.25')")
    assert page.locator("#curves-title").inner_text() == "val/loss by epoch"
    assert tips(page, 0.998) == {"run 0\nval/loss 0.25\nepoch 2\nseed 0"}
    assert page.locator("#live").inner_text() == "live"
    page.context.set_offline(True)
    page.wait_for_selector("#live.lost")
    page.context.set_offline(False)
    page.wait_for_selector("#live:not(.lost)")
    assert errors == []
    page.close()
