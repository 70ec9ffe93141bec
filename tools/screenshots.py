"""Makes the README's pictures, docs/img/chat-light.png and chat-dark.png, with the real server and Ember.

python tools/screenshots.py [FOLDER]
"""

from __future__ import annotations

import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from browsers import find_browser

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

SIZE = {"width": 1120, "height": 700}
EARLIER = ("Hello, who are you?", "Which port does Hearth use?", "How do I switch to another model?")
SHOWN = ("My name is Ada.", "What is Hearth?", "What is my name?")
LONGEST_ANSWER_SECONDS = 60


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs" / "img"
    folder.mkdir(parents=True, exist_ok=True)
    browser_path = find_browser()
    if browser_path is None:
        sys.exit("Chrome or Chromium is needed.")
    with running_server() as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_path, args=["--no-sandbox"])
        page = browser.new_page(base_url=address, viewport=SIZE, color_scheme="light", reduced_motion="reduce")
        for question in EARLIER:
            page.goto("/chat")
            ask(page, question)
        page.goto("/chat")
        for question in SHOWN:
            ask(page, question)
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            page.wait_for_timeout(1500)
            page.screenshot(path=folder / f"chat-{scheme}.png")
        browser.close()


def ask(page: Page, question: str) -> None:
    page.fill("#text", question)
    answers = page.locator(".answer:not([data-state=running])")
    before = answers.count()
    page.press("#text", "Enter")
    deadline = time.monotonic() + LONGEST_ANSWER_SECONDS
    while answers.count() == before:
        if time.monotonic() > deadline:
            sys.exit(f"No answer to {question!r} in {LONGEST_ANSWER_SECONDS} s.")
        page.wait_for_timeout(50)


@contextmanager
def running_server() -> Iterator[str]:
    """A server of its own: no models but Ember, an empty data folder, nobody's settings."""
    from webapp.app import create_app
    from webapp.paths import DataDir
    from webapp.server import Options, Server
    from webapp.wsgi import WebServer
    from webapp.wsgi.guards import Guards

    with tempfile.TemporaryDirectory() as folder:
        environ = {"HF_HUB_CACHE": folder}
        server = Server(Options((), {"port": 0, "temperature": 0.0}, environ), DataDir.at(Path(folder)))
        web = WebServer(Guards(create_app(server)), "127.0.0.1", 0)
        loop = threading.Thread(target=web.run, daemon=True)
        server.start()
        loop.start()
        yield f"http://127.0.0.1:{web.address[1]}"
        server.drain(0)
        web.stop(2)
        loop.join(10)
        server.close()


if __name__ == "__main__":
    main()
