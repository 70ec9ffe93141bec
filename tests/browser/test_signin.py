"""Sign-in in a real browser: the owner's file leads in, others stay outside, and an open tab of theirs is closed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext

from tests.conftest import Hearth, run_server
from tests.wsgi.conftest import eventually


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory, models_dir: Path) -> Iterator[Hearth]:
    yield from run_server(tmp_path_factory.mktemp("guarded"), (models_dir,))


@pytest.fixture
def switch(guarded: Hearth) -> Iterator[Hearth]:
    yield guarded
    guarded.server.settings.save({"sign_in": None})


@pytest.fixture
def person(browser: Browser) -> Iterator[BrowserContext]:
    context = browser.new_context()
    yield context
    context.close()


def test_the_owner_s_file_leads_in_and_works_once(switch: Hearth, person: BrowserContext, browser: Browser) -> None:
    """From file:// to the chat: the strict cookie must be sent on the very first page."""
    switch.server.settings.save({"sign_in": "on"})
    file = switch.server.tickets.page(switch.base_url)
    page = person.new_page()
    page.goto(file.as_uri())
    page.wait_for_url(f"{switch.base_url}/chat")
    assert page.locator("#composer").count() == 1
    assert page.evaluate("document.cookie") == ""
    with browser.new_context() as another:
        late = another.new_page()
        late.goto(file.as_uri())
        late.wait_for_selector("text=used up")
        assert "ticket=" in late.url
        late.click("text=I have signed in")
        late.wait_for_selector("text=hearth sign-in")


def test_an_open_tab_of_somebody_else_goes_dark(switch: Hearth, person: BrowserContext, browser: Browser) -> None:
    mine = person.new_page()
    mine.goto(f"{switch.base_url}/settings")
    with browser.new_context() as another:
        theirs = another.new_page()
        theirs.goto(f"{switch.base_url}/chat")
        assert eventually(lambda: theirs.evaluate("socket?.readyState") == 1)
        mine.select_option("#sign_in", "on")
        mine.click("#settings .save .primary")
        mine.wait_for_selector("text=Saved.")
        assert eventually(lambda: theirs.evaluate("socket?.readyState") != 1)
        theirs.goto(f"{switch.base_url}/chat")
        assert "hearth sign-in" in theirs.content()
    mine.goto(f"{switch.base_url}/chat")
    assert mine.locator("#composer").count() == 1
    assert eventually(lambda: mine.evaluate("socket?.readyState") == 1)


def test_the_about_page_tests_hearth(guarded: Hearth, person: BrowserContext) -> None:
    page = person.new_page()
    page.goto(f"{guarded.base_url}/about")
    page.click("text=Run the selftest")
    page.wait_for_selector("text=All 9 checks passed.", timeout=60_000)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
