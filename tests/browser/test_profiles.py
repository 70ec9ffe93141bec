"""A person makes a profile, chats with it, changes it and deletes it: with and without scripts, also by keyboard."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import OpenTab
from tests.conftest import LLAMA, QWEN, Hearth

CONTRAST = (Path(__file__).parent / "contrast.js").read_text("utf-8")


@pytest.fixture(autouse=True)
def no_profiles_stay(hearth: Hearth) -> Iterator[None]:
    yield
    for name in list(hearth.server.profiles.current):
        hearth.server.profiles.delete(name)


def test_made_used_changed_and_deleted(open_tab: OpenTab, hearth: Hearth) -> None:
    tab = open_tab("/models")
    page = tab.page
    page.click("text=New profile")
    page.fill("#name", "no spaces please")
    page.select_option("#model", QWEN)
    page.fill("#system_prompt", "Talk like a pirate.")
    page.fill("#max_tokens", "lots")
    page.press("#max_tokens", "Enter")
    expect(page.locator("#error-name")).to_contain_text("letters, digits")
    expect(page.locator("#error-max_tokens")).to_contain_text("whole number")
    assert page.input_value("#system_prompt") == "Talk like a pirate."
    assert page.evaluate("document.activeElement.id") == "max_tokens"
    page.fill("#name", "crew/pirate")
    page.fill("#max_tokens", "7")
    page.press("#max_tokens", "Enter")
    expect(page.locator(".notice")).to_contain_text("Saved “crew/pirate”.")
    expect(page.locator("#profiles")).to_contain_text("answer length 7 tokens")

    chat = open_tab("/chat")
    chat.page.select_option("select[name=model]", "crew/pirate")
    expect(chat.page.locator("#about")).to_contain_text("A profile of qwen3-nano")
    chat.send("Ahoy")
    chat.until_ended()
    expect(chat.page.locator(".stats")).to_contain_text("7 tokens")
    expect(chat.page.locator(".cut")).to_contain_text("token limit")

    page.click("[aria-label='Edit crew/pirate']")
    page.fill("#max_tokens", "9")
    page.check("#pinned")
    page.click("text=Save")
    expect(page.locator("#profiles")).to_contain_text("kept loaded")
    assert hearth.server.profiles.pinned_models() == {QWEN}

    page.click("[aria-label='Delete crew/pirate']")
    expect(page.locator(".ask:popover-open")).to_contain_text("Delete “crew/pirate”?")
    assert page.evaluate("document.activeElement.textContent") == "Keep it"
    page.keyboard.press("Escape")
    assert hearth.server.profiles.current
    page.click("[aria-label='Delete crew/pirate']")
    page.click(".ask:popover-open .danger")
    expect(page.locator("#profiles")).to_contain_text("None yet.")
    expect(page.locator(".notice")).to_contain_text("Deleted “crew/pirate”.")
    assert page.evaluate("document.activeElement.closest('#profiles') !== null")
    assert not hearth.server.profiles.current


def test_the_other_model_says_what_it_brings_and_nothing_typed_is_lost(open_tab: OpenTab, hearth: Hearth) -> None:
    page = open_tab("/profiles/new").page
    page.fill("#name", "half-written")
    page.select_option("#model", "ember")
    expect(page.locator("#otherwise-context_length")).to_have_text("empty means 2,048, all the model holds")
    page.select_option("#model", LLAMA)
    expect(page.locator("#otherwise-context_length")).to_have_text("empty means 4,096, all the model holds")
    assert page.input_value("#name") == "half-written"
    assert page.evaluate("document.activeElement.id") == "name"


def test_another_tab_sees_the_list_change(open_tab: OpenTab, hearth: Hearth) -> None:
    page = open_tab("/models").page
    expect(page.locator("#profiles")).to_contain_text("None yet.")
    hearth.server.profiles.create({"name": "made-elsewhere", "model": QWEN})
    expect(page.locator("#profiles")).to_contain_text("made-elsewhere")


def test_without_scripts(open_tab: OpenTab, hearth: Hearth) -> None:
    page = open_tab("/profiles/new", java_script_enabled=False).page
    page.fill("#name", "a b")
    page.click("text=Create")
    expect(page.locator("#error-name")).to_be_visible()
    page.fill("#name", "plain")
    page.click("text=Create")
    expect(page.locator(".notice")).to_contain_text("Saved “plain”.")
    page.click("[aria-label='Duplicate plain']")
    assert page.input_value("#name") == "plain-2"
    page.click("text=Create")
    page.click("[aria-label='Edit plain']")
    page.click("text=Delete >> visible=true")
    page.click(".ask:popover-open .danger")
    expect(page.locator(".notice")).to_contain_text("The profile is deleted.")
    assert list(hearth.server.profiles.current) == ["plain-2"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_readable_and_no_wider_than_a_phone(open_tab: OpenTab, hearth: Hearth, scheme: str) -> None:
    prompt = "word" * 200
    full = {"model": QWEN, "system_prompt": prompt, "temperature": 0, "pinned": True, "top_k": 5, "idle_minutes": 9}
    hearth.server.profiles.create({"name": "n" * 100, **full})
    tab = open_tab("/models", viewport={"width": 320, "height": 700}, color_scheme=scheme)
    for path in ("/models", "/profiles/" + "n" * 100, "/profiles/new", "/chat"):
        tab.goto(path)
        if path == "/profiles/new":
            tab.page.fill("#temperature", "hot")
            tab.page.click("text=Create")
            expect(tab.page.locator("#error-temperature")).to_be_visible()
        assert tab.page.evaluate("document.documentElement.scrollWidth") <= 320, path
        assert tab.page.evaluate("document.querySelector('main').scrollWidth") <= 320, path
        assert tab.page.evaluate(CONTRAST) == [], path
