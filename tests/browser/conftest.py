"""A real browser before the real server. Anything the page's policy forbids fails the test that did it."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from browsers import find_browser
from tests.conftest import Hearth

ANSWER_TOKENS = 1200
# A refused request is logged by the browser itself; so is a frame that crosses the Close of a tab that goes away.
EXPECTED = ("status of 4", "htmx:ws:error")


@dataclass(frozen=True)
class Tab:
    """A page with the few looks at it that the tests need. `wait_for_function` uses eval, which the policy forbids."""

    page: Page

    def until(self, script: str, seconds: float = 60) -> object:
        deadline = time.monotonic() + seconds
        while not (value := self.page.evaluate(script)):
            assert time.monotonic() < deadline, f"never true: {script}"
            self.page.wait_for_timeout(20)
        return value

    def send(self, text: str) -> None:
        """Send, and wait until its answer is on the page."""
        answers = self.page.locator(".answer").count()
        self.page.fill("#text", text)
        self.page.press("#text", "Enter")
        self.until(f"document.querySelectorAll('.answer').length > {answers}")

    def words(self) -> str:
        """The last answer's text as it stands on the page."""
        return re.sub(
            r"\s+", "", str(self.page.evaluate("[...document.querySelectorAll('.prose')].at(-1)?.innerText ?? ''"))
        )

    def state(self) -> str | None:
        return self.page.evaluate("[...document.querySelectorAll('.answer')].at(-1)?.dataset.state")  # type: ignore[no-any-return]

    def until_writing(self, letters: int = 80) -> None:
        self.until(f"([...document.querySelectorAll('.prose')].at(-1)?.innerText ?? '').length > {letters}")
        assert self.state() == "running"

    def until_ended(self) -> None:
        self.until("[...document.querySelectorAll('.answer')].at(-1)?.dataset.state !== 'running'")

    def goto(self, address: str) -> None:
        self.page.goto(address)
        if self.page.evaluate("typeof socket !== 'undefined'"):
            self.until("socket?.readyState === 1")


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    found = find_browser()
    if found is None:
        pytest.fail("The browser tests need an installed Chrome or Chromium.")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="session", autouse=True)
def shorter_answers(hearth: Hearth) -> None:
    hearth.server.settings.save({"max_tokens": ANSWER_TOKENS})


OpenTab = Callable[..., Tab]


@pytest.fixture
def open_tab(browser: Browser, hearth: Hearth) -> Iterator[OpenTab]:
    """Opens tabs of one person; further options make another person's context."""
    contexts: list[BrowserContext] = []
    complaints: list[str] = []

    def open_tab(path: str = "/chat", **options: object) -> Tab:
        if options or not contexts:
            contexts.append(browser.new_context(base_url=hearth.base_url, **options))  # type: ignore[arg-type]
        page = contexts[-1].new_page()
        page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        tab = Tab(page)
        tab.goto(path)
        return tab

    yield open_tab
    for context in contexts:
        context.close()
    assert [text for text in complaints if not any(known in text for known in EXPECTED)] == []


@pytest.fixture
def tab(open_tab: OpenTab) -> Tab:
    return open_tab()
