"""A headless Chromium that tests and the bench drive: the one of the system."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Playwright

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def chromium_path() -> str | None:
    """Where the system's Chromium is; None if there is none."""
    return next(filter(None, map(shutil.which, NAMES)), None)


def chromium(playwright: Playwright) -> Browser:
    """The browser, without a window; root may only run it without its sandbox."""
    flags = ["--no-sandbox"] if os.geteuid() == 0 else []
    return playwright.chromium.launch(executable_path=chromium_path(), args=flags)
