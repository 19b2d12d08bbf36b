"""The pictures of the page in the docs: ``python -m bench.page_pictures docs``.

Takes a sweep of 24 runs over digits, which takes a minute, and a headless Chromium.
"""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from PIL import Image

from bench.page import browser_page

SWEEP = (
    "model=mlp",
    "model.hidden=[8],[32],[128]",
    "optimizer.lr=0.0003,0.001,0.003,0.01",
    "seed=0,1",
    "num_epochs=12",
    "plugins=[default,checkpoints,confusion,worst_errors]",
)
PICTURES = {
    "page_light.png": ("light", 1410, "lines=seeds&colour=optimizer.lr&marked=[%2222%22]"),
    "page_dark.png": ("dark", 980, "metric=val/loss&log=true&marked=[%2222%22,%227%22]"),
}
"""The name of the file, the colours, the height in pixels, and what is shown."""


def sweep(folder: Path) -> Path:
    """Run the sweep; its page."""
    command = [sys.executable, "-m", "legoloop.run", "-m", *SWEEP, f"hydra.sweep.dir={folder}"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return folder / "results.html"


def main(folder: Path) -> None:
    """Write the pictures into this folder."""
    with TemporaryDirectory() as name, browser_page() as page:
        path = sweep(Path(name) / "digits")
        for file, (scheme, height, state) in PICTURES.items():
            page.emulate_media(color_scheme=scheme)
            page.set_viewport_size({"width": 1480, "height": height})
            page.goto("about:blank")
            page.goto(f"{path.as_uri()}#{state}")
            page.wait_for_selector("html[data-drawn]", state="attached")
            picture = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
            picture.quantize(256, kmeans=1, dither=Image.Dither.NONE).save(folder / file)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
