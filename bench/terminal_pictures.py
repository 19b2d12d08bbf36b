"""Pictures of the terminal for the docs: ``python -m bench.terminal_pictures docs [run] [sweep]``.

Real commands on terminals of 80 and 130 columns; takes a minute, and a headless Chromium.
"""

from __future__ import annotations

import html
import io
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from PIL import Image

from bench.page import browser_page
from bench.terminal import screen_of

WIDTHS = (80, 130)
RUN = ("num_epochs=8", "model=mlp", "hydra.run.dir=outputs/digits")
SWEEP = (
    *("-m", "hydra/launcher=processes", "hydra.launcher.n_jobs=2", "num_epochs=30", "model=mlp"),
    *("model.hidden=[32],[128]", "optimizer.lr=0.003,1e20,0.01", "hydra.sweep.dir=multirun/digits"),
)
STYLE = """
body { margin: 0; background: #16181d; }
pre { margin: 0; padding: 14px 18px; display: inline-block; color: #d7dae0;
      font: 14px/1.35 "DejaVu Sans Mono", "Liberation Mono", monospace; }
.brightblack { color: #868d99; } .green { color: #7fd88f; } .red { color: #ff7b72; }
b { font-weight: bold; }
"""


def run(columns: int, folder: Path) -> list[str]:
    """What a run leaves on the screen, as HTML."""
    _, screen = screen_of([sys.executable, "-m", "legoloop.run", *RUN], columns, cwd=folder)
    return ["$ python -m legoloop.run num_epochs=8 model=mlp", *as_html(screen)]


def sweep(columns: int, folder: Path) -> list[str]:
    """What the screen shows while a sweep is at its last jobs, as HTML."""
    shown: list[str] = []

    def look(screen: Any, process: Any) -> None:
        text = "\n".join(screen.display)
        words = ("2 running", "failed", "left", "best")
        if all(word in text for word in words) and text.count(" epoch ") >= 2:
            shown[:] = as_html(screen)

    command = [sys.executable, "-m", "legoloop.run", *SWEEP]
    _, screen = screen_of(command, columns, cwd=folder, on_change=look)
    typed = "$ python -m legoloop.run -m … optimizer.lr=0.003,1e20,0.01"
    return [typed, *shown, "", '<span class="brightblack"># at its end:</span>', *as_html(screen)]


def as_html(screen: Any) -> list[str]:
    """The lines of the screen that hold something."""
    lines = [_line(screen.buffer[row], screen.columns) for row in range(screen.lines)]
    while lines and not lines[-1]:
        lines.pop()
    return lines


def _line(row: Any, columns: int) -> str:
    pieces: list[tuple[tuple[str, bool], str]] = []
    for column in range(columns):
        char = row[column]
        style = (char.fg, char.bold)
        if pieces and pieces[-1][0] == style:
            pieces[-1] = style, pieces[-1][1] + char.data
        else:
            pieces.append((style, char.data))
    text = "".join(_span(style, piece) for style, piece in pieces)
    return text.rstrip()


def _span(style: tuple[str, bool], text: str) -> str:
    colour, is_bold = style
    escaped = html.escape(text)
    if colour != "default":
        escaped = f'<span class="{colour}">{escaped}</span>'
    return f"<b>{escaped}</b>" if is_bold else escaped


def main(folder: Path, names: Sequence[str] = ("run", "sweep")) -> None:
    """Write the pictures of these into this folder."""
    with browser_page() as page:
        for name in names:
            shows = {"run": run, "sweep": sweep}[name]
            for columns in WIDTHS:
                with TemporaryDirectory() as place:
                    lines = shows(columns, Path(place))
                lines[0] = html.escape(lines[0])[:columns]
                page.set_content(f"<style>{STYLE}</style><pre>{chr(10).join(lines)}</pre>")
                shot = page.locator("pre").screenshot()
                picture = Image.open(io.BytesIO(shot)).convert("RGB")
                file = folder / f"terminal_{name}_{columns}.png"
                picture.quantize(48, kmeans=1, dither=Image.Dither.NONE).save(file, optimize=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:] or ("run", "sweep"))
