"""What the page of a sweep costs: ``python -m bench.page``.

Sweeps are made by hand, with the files that runs leave behind: curves that fall and are noisy.
Each page is written by the command, in a process of its own, and opened in a
headless Chromium without a network. Drawn is what was painted two frames after the last script.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np

from bench.rounds import installed, table
from tests.browser import chromium, chromium_path

if TYPE_CHECKING:
    from playwright.sync_api import Page

SIZES = ((24, 12), (24, 10_000), (1000, 1000), (1000, 10_000))
TINY = ((3, 5),)
LRS, HIDDEN = (0.0003, 0.001, 0.003, 0.01), (8, 32, 128)


def make_sweep(folder: Path, runs: int, points: int) -> None:
    """A sweep over learning rates, widths and seeds, every run with four curves."""
    rng = np.random.default_rng(0)
    began = datetime(2026, 11, 26, tzinfo=UTC)
    steps = np.arange(1, points + 1)
    for number in range(runs):
        lr, hidden = LRS[number % 4], HIDDEN[number // 4 % 3]
        seed, seconds = number // 12, float(rng.uniform(20, 300))
        speed = (np.log10(lr) + 5) * np.log2(hidden) / 4
        loss = 2.3 * np.exp(-steps / points * speed) + 0.2 + 0.06 * rng.normal(size=points) ** 2
        noise = rng.normal(size=(2, points))
        columns = {
            "lr": lr * (1 + np.cos(np.pi * steps / points)) / 2,
            "loss": loss,
            "val/loss": loss * 1.1 + 0.02 * noise[0],
            "val/accuracy": np.clip(1 - loss / 2.6 + 0.02 * noise[1], 0, 1),
        }
        directory = folder / str(number)
        directory.mkdir(parents=True)
        rows = zip(steps, *columns.values(), strict=True)
        lines = [f"{10 * row[0]},{row[0]},{','.join(map(str, row[1:]))}" for row in rows]
        (directory / "metrics.csv").write_text(
            "\n".join([",".join(["step", "epoch", *columns]), *lines, ""])
        )
        final = {tag: float(values[-1]) for tag, values in columns.items()}
        record = {
            "status": "COMPLETED",
            "started": (began + timedelta(minutes=number)).isoformat(),
            "ended": (began + timedelta(minutes=number, seconds=seconds)).isoformat(),
            "overrides": [f"optimizer.lr={lr}", f"model.hidden={hidden}", f"seed={seed}"],
            "final": final,
            "best": {tag: {"value": value, "step": 1} for tag, value in final.items()},
        }
        (directory / "run.json").write_text(json.dumps(record))
        (directory / "config.yaml").write_text(
            f"seed: {seed}\noptimizer:\n  lr: {lr}\nmodel:\n  hidden: {hidden}\n"
        )


def seconds_to_write(folder: Path, page: Path) -> float:
    """The time of the whole command."""
    command = [sys.executable, "-m", "legoloop.results", str(folder), "--html", str(page)]
    began = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


@contextmanager
def browser_page() -> Iterator[Page]:
    """A page of a Chromium without a network."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = chromium(playwright)
        try:
            yield browser.new_context(
                offline=True, viewport={"width": 1480, "height": 980}
            ).new_page()
        finally:
            browser.close()


def seconds_to_draw(page: Page, path: Path) -> tuple[float, float]:
    """From the request until it is painted, and until another metric is."""
    page.goto(path.as_uri())
    page.wait_for_selector("html[data-drawn]", state="attached", timeout=60_000)
    first = page.evaluate("performance.getEntriesByName('drawn')[0].startTime") / 1000
    page.evaluate("addEventListener('input', () => performance.mark('asked'), true)")
    page.select_option("#metric", "val/loss")
    page.wait_for_selector("html[data-drawn='val/loss']", state="attached", timeout=60_000)
    return first, page.evaluate(
        "performance.getEntriesByName('drawn')[1].startTime"
        " - performance.getEntriesByName('asked')[0].startTime"
    ) / 1000


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tiny", action="store_true", help="only to see that it works")
    sizes = TINY if parser.parse_args().tiny else SIZES
    if chromium_path() is None or installed("playwright") is None:
        print("Not measured: no Chromium was at hand.")
        return
    rows = []
    for runs, points in sizes:
        with TemporaryDirectory() as name, browser_page() as page:
            make_sweep(Path(name) / "sweep", runs, points)
            path = Path(name) / "page.html"
            wrote = seconds_to_write(Path(name) / "sweep", path)
            drawn, other = seconds_to_draw(page, path)
            size = path.stat().st_size
        rows.append(
            [
                f"{runs:,} x {points:,}",
                f"{size / 1e3:.0f} kB",
                *(f"{seconds:.2f} s" for seconds in (wrote, drawn, other)),
            ]
        )
        print(*rows[-1], file=sys.stderr, flush=True)
    print(table(["runs x points", "size", "written", "drawn", "another metric"], rows))


if __name__ == "__main__":
    main()
