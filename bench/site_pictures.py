"""Pictures of TensorBoard and of the site for the docs: ``python -m bench.site_pictures docs``.

TensorBoard shows a sweep of four runs over digits; the site is that in ``build/site``, made by
``nox -s site``. Takes a minute, and a headless Chromium.
"""

from __future__ import annotations

import io
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from PIL import Image

from bench.page import browser_page

ROOT = Path(__file__).parent.parent
PORT = 6116
SWEEP = (
    *("model=mlp", "optimizer.lr=0.0003,0.003", "model.hidden=[8],[128]", "num_epochs=12"),
    "hydra.sweep.dir=digits",
)


def save(page: Any, file: Path) -> None:
    """Save what is seen, in few colours."""
    picture = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    picture.quantize(256, kmeans=1, dither=Image.Dither.NONE).save(file)


@contextmanager
def tensorboard(folder: Path) -> Iterator[str]:
    """The address of a TensorBoard of a sweep."""
    command = [sys.executable, "-m", "legoloop.run", "-m", *SWEEP]
    subprocess.run(command, check=True, cwd=folder, stdout=subprocess.DEVNULL)
    served = [sys.executable, "-m", "tensorboard.main", "--logdir=digits", f"--port={PORT}"]
    address = f"http://localhost:{PORT}/"
    with subprocess.Popen(served, cwd=folder, stderr=subprocess.DEVNULL) as process:
        try:
            for _ in range(60):
                with suppress(OSError):
                    urllib.request.urlopen(address).close()
                    break
                time.sleep(1)
            yield address
        finally:
            process.terminate()


def main(folder: Path) -> None:
    """Write the pictures into this folder."""
    with TemporaryDirectory() as name, browser_page() as page:
        page.set_viewport_size({"width": 1280, "height": 760})
        page.context.set_offline(False)
        with tensorboard(Path(name)) as address:
            page.goto(f"{address}?tagFilter=val%2F#timeseries")
            page.wait_for_timeout(8_000)
            save(page, folder / "tensorboard.png")
        page.set_viewport_size({"width": 1280, "height": 900})
        page.goto((ROOT / "build" / "site" / "docs" / "index.html").as_uri())
        save(page, folder / "site.png")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
