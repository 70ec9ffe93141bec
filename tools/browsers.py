"""Where an installed Chrome or Chromium is: for the browser tests and the pictures of the README."""

from __future__ import annotations

import shutil
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
APPS = (
    Path("/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"),
    Path("/Applications/Chromium.app/Contents/MacOS/Chromium"),
)


def find_browser() -> str | None:
    on_path = next(filter(None, map(shutil.which, NAMES)), None)
    return on_path or next((str(app) for app in APPS if app.exists()), None)
