"""Settings, models, narrow windows and both themes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import OpenTab
from tests.conftest import Hearth


def test_settings_are_saved_in_place_and_the_theme_acts_at_once(open_tab: OpenTab, hearth: Hearth) -> None:
    tab = open_tab("/settings", color_scheme="light")
    page = tab.page
    ground = page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
    page.select_option("#theme", "dark")
    page.click("button:has-text('Save')")
    expect(page.locator("#saved")).to_contain_text("Saved.")
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    assert page.evaluate("getComputedStyle(document.documentElement).backgroundColor") != ground
    page.fill("#batch_size", "lots")
    page.fill("#stall_ms", "60")
    page.press("#stall_ms", "Enter")
    expect(page.locator("#error-batch_size")).to_contain_text("whole number")
    assert page.input_value("#stall_ms") == "60"
    assert page.evaluate("document.activeElement.id") == "stall_ms"
    page.fill("#batch_size", "")
    page.select_option("#theme", "auto")
    page.press("#stall_ms", "Enter")
    expect(page.locator("#saved")).to_contain_text("Saved.")
    assert page.input_value("#batch_size") == "32"
    assert hearth.server.settings.current.stall_ms == 60
    hearth.server.settings.save({"stall_ms": None})


def test_models_show_their_state_as_it_changes(open_tab: OpenTab, hearth: Hearth) -> None:
    models = open_tab("/models")
    chat = open_tab("/chat")
    chat.send("Wake up")
    chat.until_writing()
    expect(models.page.locator(".word[data-state=loaded]").first).to_be_visible()
    expect(models.page.locator("#hearth")).to_contain_text(re.compile(r"nano|\d models"))
    chat.page.press("#text", "Escape")
    chat.until_ended()


@pytest.mark.parametrize("width", [320, 390])
def test_nothing_is_wider_than_a_phone(open_tab: OpenTab, width: int) -> None:
    tab = open_tab(viewport={"width": width, "height": 700})
    tab.send("```\n" + "long " * 60 + "\n```")
    tab.until_writing()
    tab.page.press("#text", "Escape")
    tab.until_ended()
    here = tab.page.evaluate("location.pathname")
    for path in (here, "/chat", "/models", "/audit", "/connect", "/settings", "/chat/nothing-here"):
        tab.goto(path)
        assert tab.page.evaluate("document.documentElement.scrollWidth") <= width, path
        assert tab.page.evaluate("document.querySelector('main').scrollWidth") <= width, path


def test_the_list_is_a_drawer_on_a_phone(open_tab: OpenTab) -> None:
    tab = open_tab(viewport={"width": 390, "height": 844}, has_touch=True)
    expect(tab.page.locator("#search")).to_be_hidden()
    tab.page.tap("[popovertarget=conversations]")
    expect(tab.page.locator("#search")).to_be_visible()
    tab.page.tap("[data-new]")
    expect(tab.page.locator("#search")).to_be_hidden()


CONTRAST = (Path(__file__).parent / "contrast.js").read_text("utf-8")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_is_readable_in_both_themes(open_tab: OpenTab, scheme: str, hearth: Hearth) -> None:
    chat = next(iter(hearth.server.chats.recent()), None)
    tab = open_tab("/chat", color_scheme=scheme)
    for path in ("/chat", "/models", "/audit", "/connect", "/settings", *([f"/chat/{chat.id}"] if chat else [])):
        tab.goto(path)
        assert tab.page.evaluate(CONTRAST) == [], path
