"""The activity room as a person sees it: live, true, and obeyed."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import APIResponse, Route, expect

from tests.browser.conftest import OpenTab
from tests.conftest import LLAMA, QWEN, Hearth, run_server


@pytest.fixture(scope="module")
def hearth(tmp_path_factory: pytest.TempPathFactory, models_dir: Path) -> Iterator[Hearth]:
    """A server of these tests alone: limits are everybody's."""
    yield from run_server(tmp_path_factory.mktemp("activity"), (models_dir,))


@pytest.fixture(scope="module", autouse=True)
def shorter_answers() -> None:
    """Every request of these tests says how long its answer is."""


def ask(hearth: Hearth, model: str, max_tokens: int, finished: list[str]) -> None:
    body = {"model": model, "prompt": "The river", "max_tokens": max_tokens, "temperature": 0}
    reply = httpx.post(f"{hearth.base_url}/v1/completions", json=body, timeout=120).json()
    finished.append(f"{reply['choices'][0]['finish_reason']} {reply['usage']['completion_tokens']}")


def test_a_limit_lowered_in_the_settings_is_seen_to_act(open_tab: OpenTab, hearth: Hearth) -> None:
    activity, settings = open_tab("/activity").page, open_tab("/settings").page
    ask(hearth, "ember", 2, [])
    finished: list[str] = []
    crowd = [
        threading.Thread(target=ask, args=(hearth, model, 900, finished)) for model in (QWEN, LLAMA) for _ in range(4)
    ]
    for thread in crowd:
        thread.start()
    expect(activity.locator("#requests tbody tr")).to_have_count(8)
    expect(activity.locator("#loaded .card")).to_have_count(3)
    settings.fill("#memory_limit", "0.001")
    settings.click("button:has-text('Save')")
    expect(settings.locator("#saved")).to_contain_text("ember was evicted.")
    expect(settings.locator("#saved")).to_contain_text("draining")
    expect(activity.locator(".over")).to_contain_text("Over the limit by")
    expect(activity.locator(".over")).to_contain_text("waiting for 8 requests")
    expect(activity.locator("#loaded .card")).to_have_count(2)
    expect(activity.locator(".word[data-state=draining]")).to_have_count(1)
    for thread in crowd:
        thread.join(120)
    assert finished == ["length 900"] * 8
    expect(activity.locator(".over")).to_have_count(0)
    assert hearth.server.engine.snapshot.used_bytes <= 1_000_000
    hearth.server.settings.save({"memory_limit": None})


def test_a_request_is_cancelled_with_its_button(open_tab: OpenTab, hearth: Hearth) -> None:
    page = open_tab("/activity").page
    finished: list[str] = []
    thread = threading.Thread(target=ask, args=(hearth, QWEN, 3000, finished))
    thread.start()
    held: list[tuple[Route, APIResponse]] = []
    page.route("**/cancel", lambda route: held.append((route, route.fetch())))
    page.click("#requests button")
    expect(page.locator("#requests")).to_contain_text("0 running")  # the button is gone before its answer comes
    for route, answer in held:
        route.fulfill(response=answer)
    expect(page.locator("#notices")).to_contain_text("Cancelled the request.")
    thread.join(20)
    assert finished[0].startswith("cancelled")


def test_models_are_loaded_and_unloaded_with_their_buttons(open_tab: OpenTab, hearth: Hearth) -> None:
    for loaded in hearth.server.engine.snapshot.models:
        hearth.server.administration.models.unload("test", loaded.id)
    page = open_tab("/activity").page
    page.select_option("#to-load", LLAMA)
    page.click("button:has-text('Load')")
    row = page.locator("#loaded .card", has_text=LLAMA)
    expect(row.locator(".word")).to_have_text("loaded")
    row.get_by_role("button", name="Pin", exact=False).click()
    expect(row).to_contain_text("pinned")
    row.get_by_role("button", name="Unpin").click()
    row.get_by_role("button", name="Unload").click()
    expect(row).to_have_count(0)


@pytest.mark.parametrize("width", [320, 390, 1120])
def test_nothing_is_wider_than_the_window(open_tab: OpenTab, hearth: Hearth, width: int) -> None:
    ask(hearth, QWEN, 2, [])
    page = open_tab("/activity", viewport={"width": width, "height": 700}).page
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate("document.querySelector('main').scrollWidth") <= width
