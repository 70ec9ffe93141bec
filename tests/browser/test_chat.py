"""A person chats: with the real server, a real model and a real browser."""

from __future__ import annotations

import re
import time

from playwright.sync_api import expect

from tests.browser.conftest import OpenTab, Tab
from tests.conftest import Hearth


def until_free(hearth: Hearth) -> float:
    began = time.monotonic()
    while hearth.server.engine.snapshot.running:
        assert time.monotonic() - began < 5
        time.sleep(0.005)
    return time.monotonic() - began


def test_an_answer_appears_as_it_is_written(tab: Tab, hearth: Hearth) -> None:
    tab.send("Tell me of fires")
    tab.until_writing()
    first = tab.words()
    expect(tab.page.locator("#act")).to_have_attribute("aria-label", "Stop")
    assert re.fullmatch(rf"{hearth.base_url}/chat/[\w-]+", tab.page.evaluate("location.href"))
    assert tab.page.input_value("#text") == ""
    assert tab.page.evaluate("document.activeElement.id") == "text"
    tab.until_ended()
    assert tab.words().startswith(first[:40])
    assert len(tab.words()) > len(first)
    expect(tab.page.locator("h1")).to_have_text("Tell me of fires")
    expect(tab.page.locator(".conversation-list a[aria-current]")).to_have_text("Tell me of fires")
    expect(tab.page.locator(".stats")).to_contain_text("tok/s")
    expect(tab.page.locator("#announce")).to_contain_text("Answer ready")
    expect(tab.page.locator("#act")).to_have_attribute("aria-label", "Send")


def test_a_reload_shows_all_so_far_and_the_rest(tab: Tab) -> None:
    tab.send("Go on")
    tab.until_writing()
    before = tab.words()
    tab.page.reload()
    assert len(tab.words()) >= len(before) - 3
    tab.until_ended()
    whole = tab.words()
    tab.page.reload()
    assert tab.words() == whole
    assert whole.startswith(before[:40])


def test_a_second_tab_is_in_step(tab: Tab, open_tab: OpenTab) -> None:
    tab.send("First")
    tab.until_ended()
    other = open_tab(tab.page.evaluate("location.pathname"))
    tab.send("Second")
    other.until("document.querySelectorAll('.answer').length === 2")
    other.until_writing()
    tab.until_ended()
    other.until_ended()
    assert other.words() == tab.words()


def test_a_lost_connection_catches_up(tab: Tab) -> None:
    tab.send("Go on")
    tab.until_writing()
    tab.page.evaluate("socket.close()")
    tab.until("socket.readyState > 1")
    tab.until("socket.readyState === 1")
    tab.until_ended()
    words = tab.words()
    tab.page.reload()
    assert tab.words() == words


def test_stop_ends_the_work_and_keeps_the_text(tab: Tab, hearth: Hearth) -> None:
    tab.send("Go on")
    tab.until_writing()
    tab.page.click("#act")
    tab.until_ended()
    assert until_free(hearth) < 0.5
    assert tab.state() == "stopped"
    assert len(tab.words()) > 40
    tab.send("Once more")
    tab.until("document.querySelectorAll('.answer').length === 2")
    tab.until_writing()
    tab.page.press("#text", "Escape")
    tab.until_ended()
    assert tab.state() == "stopped"


def test_enter_sends_shift_enter_breaks_and_an_input_methods_enter_does_neither(tab: Tab) -> None:
    tab.page.fill("#text", "にほ")
    for composing in ({"isComposing": True}, {"keyCode": 229}):
        tab.page.dispatch_event("#text", "keydown", {"key": "Enter", "bubbles": True, **composing})
    tab.page.wait_for_timeout(150)
    assert tab.page.input_value("#text") == "にほ"
    assert tab.page.locator(".turn").count() == 0
    tab.page.press("#text", "Shift+Enter")
    tab.page.type("#text", "x")
    assert tab.page.input_value("#text") == "にほ\nx"
    tab.page.press("#text", "Enter")
    tab.until_writing()
    expect(tab.page.locator(".said")).to_have_text("にほ\nx")
    tab.page.press("#text", "Escape")
    tab.until_ended()


def test_what_is_typed_is_kept(tab: Tab) -> None:
    tab.page.type("#text", "Half a thought")
    tab.page.reload()
    assert tab.page.input_value("#text") == "Half a thought"
    tab.page.evaluate("document.querySelector('[name=model]').options[0].value = 'gone/model'")
    tab.page.select_option("[name=model]", index=0)
    tab.page.press("#text", "Enter")
    expect(tab.page.locator("#notices [role=alert]")).to_contain_text("is not installed")
    notice, composer = (tab.page.locator(place).bounding_box() for place in (".notice", "#composer"))
    assert notice and composer and notice["y"] + notice["height"] < composer["y"]
    assert tab.page.input_value("#text") == "Half a thought"
    tab.page.fill("#text", "")


def test_answering_again_keeps_both_answers(tab: Tab) -> None:
    tab.send("A number")
    tab.until_writing()
    tab.page.press("#text", "Escape")
    tab.until_ended()
    first = tab.words()
    tab.page.focus("[title='Answer again']")
    tab.page.keyboard.press("Enter")
    tab.until("document.querySelector('.answer')?.dataset.state === 'running'")
    tab.until("document.activeElement.id === 'composer'")
    tab.page.keyboard.press("Escape")
    expect(tab.page.locator(".siblings")).to_contain_text("2/2")
    tab.page.click("[title='Earlier answer']")
    expect(tab.page.locator(".siblings")).to_contain_text("1/2")
    assert tab.words() == first


def test_the_page_does_not_jump_while_someone_reads_above(tab: Tab) -> None:
    tab.page.set_viewport_size({"width": 900, "height": 420})
    tab.send("Go on")
    tab.until("document.querySelector('#scroller').scrollHeight > 900")
    tab.page.hover("#scroller")
    tab.page.mouse.wheel(0, -5000)
    tab.until("document.querySelector('#scroller').scrollTop === 0")
    tab.page.wait_for_timeout(300)
    assert tab.page.evaluate("document.querySelector('#scroller').scrollTop") == 0
    tab.page.click("#jump")
    tab.page.wait_for_timeout(100)
    tab.until("(s => s.scrollHeight - s.scrollTop - s.clientHeight < 5)(document.querySelector('#scroller'))")
    tab.page.press("#text", "Escape")
    tab.until_ended()


def test_conversations_open_in_place_and_back_goes_back(tab: Tab) -> None:
    for text in ("One fire", "Two fires"):
        tab.send(text)
        tab.until_writing()
        tab.page.press("#text", "Escape")
        tab.until_ended()
        tab.page.click("[data-new]")
        expect(tab.page.locator("h1")).to_have_text("New chat")
    tab.page.evaluate("window.same = true")
    tab.page.click(".conversation-list a:has-text('One fire')")
    expect(tab.page.locator("h1")).to_have_text("One fire")
    assert tab.page.title() == "One fire · Hearth"
    assert tab.page.evaluate("window.same && document.activeElement.id") == "text"
    tab.page.click(".conversation-list a:has-text('Two fires')")
    expect(tab.page.locator("h1")).to_have_text("Two fires")
    expect(tab.page.locator(".conversation-list a[aria-current]")).to_have_text("Two fires")
    tab.page.go_back()
    expect(tab.page.locator("h1")).to_have_text("One fire")
    assert tab.page.evaluate("document.querySelectorAll('.turn').length") == 2
    tab.send("And on")
    tab.until("document.querySelectorAll('.answer').length === 2")
    tab.until_writing(10)
    tab.page.press("#text", "Escape")


def test_rename_delete_undo(tab: Tab) -> None:
    tab.send("To be renamed")
    tab.until_writing()
    tab.page.press("#text", "Escape")
    tab.until_ended()
    tab.page.click("[popovertarget=chat-menu]")
    tab.page.fill("#title", "Kept well")
    tab.page.press("#title", "Enter")
    expect(tab.page.locator("h1")).to_have_text("Kept well")
    tab.page.click("[popovertarget=chat-menu]")
    tab.page.click("text=Delete conversation")
    expect(tab.page.locator("h1")).to_have_text("New chat")
    expect(tab.page.locator(".conversation-list a:has-text('Kept well')")).to_have_count(0)
    tab.page.click("text=Undo")
    expect(tab.page.locator("h1")).to_have_text("Kept well")
    expect(tab.page.locator(".notice")).to_have_count(0)
    expect(tab.page.locator(".conversation-list a[aria-current]")).to_have_text("Kept well")


def test_keys(tab: Tab) -> None:
    tab.page.type("#text", "/n?")
    assert tab.page.input_value("#text") == "/n?"
    tab.page.fill("#text", "")
    tab.page.evaluate("document.activeElement.blur()")
    tab.page.keyboard.press("?")
    expect(tab.page.locator("#keys")).to_be_visible()
    tab.page.keyboard.press("Escape")
    tab.page.keyboard.press("/")
    assert tab.page.evaluate("document.activeElement.id") == "search"
    tab.page.keyboard.type("zebra")
    expect(tab.page.locator("#conversation-list")).to_contain_text("Nothing found for “zebra”")
    tab.page.evaluate("document.activeElement.blur()")
    tab.page.keyboard.press("n")
    tab.until("document.activeElement.id === 'text'")


def test_everything_works_without_javascript(open_tab: OpenTab) -> None:
    tab = open_tab(java_script_enabled=False)
    page = tab.page
    page.fill("#text", "Plain paper")
    page.click("#act")
    expect(page.locator("h1")).to_have_text("Plain paper")
    expect(page.locator("[aria-label=Stop]")).to_be_visible()
    page.click("[aria-label=Stop]")
    expect(page.locator(".answer")).to_have_attribute("data-state", "stopped")
    page.click("[aria-label='Answer again']")
    expect(page.locator(".answer")).to_have_attribute("data-state", "running")
    page.click("[aria-label=Stop]")
    expect(page.locator(".siblings")).to_contain_text("2/2")
    page.click("[popovertarget=chat-menu]")
    page.click("text=Delete conversation")
    page.click("text=Undo")
    expect(page.locator("h1")).to_have_text("Plain paper")
