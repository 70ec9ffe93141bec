"""Connect in a real browser: tabs, copying, a key made and used, and signing in from elsewhere."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.conftest import OpenTab
from tests.conftest import LLAMA, QWEN, Hearth, run_server

SECRET = re.compile(r"hearth_[\w-]{43}")


@pytest.fixture(autouse=True)
def fresh(hearth: Hearth) -> Iterator[None]:
    yield
    for key in hearth.server.keys.current:
        hearth.server.keys.revoke(key.name)


def test_tabs_models_and_trying(open_tab: OpenTab) -> None:
    page = open_tab("/connect", permissions=["clipboard-read", "clipboard-write"]).page
    expect(page.locator("#panel-curl")).to_be_visible()
    page.focus("#tool-curl")
    page.keyboard.press("ArrowRight")
    expect(page.locator("#panel-python")).to_be_visible()
    expect(page.locator("#panel-curl")).to_be_hidden()
    page.select_option("#tools select", LLAMA)
    expect(page.locator("#panel-python code").first).to_contain_text(f'model="{LLAMA}"')
    expect(page.locator("#panel-python")).to_be_visible()
    page.click("#panel-python .copy-code")
    expect(page.locator("#panel-python .copy-code")).to_have_text("Copied")
    assert str(page.evaluate("navigator.clipboard.readText()")).startswith("from openai import OpenAI")
    page.click("#panel-python .try")
    expect(page.locator("#trial-python .verdict")).to_contain_text("answered 200", timeout=30_000)


def test_a_key_from_making_to_revoking(open_tab: OpenTab, hearth: Hearth) -> None:
    page = open_tab("/connect").page
    page.click(".maker summary")
    page.fill("#key-name", "a b")
    page.click(".maker .primary")
    expect(page.locator(".maker .error")).to_contain_text("letters, digits")
    page.fill("#key-name", "aider")
    page.press("#key-name", "Enter")
    expect(page.locator(".secret code")).to_have_text(SECRET)
    expect(page.locator(".secret")).to_be_in_viewport()
    expect(page.locator(".maker form")).to_be_hidden()
    secret = page.locator(".secret code").inner_text()
    expect(page.locator("#panel-curl code").first).to_contain_text(secret)
    found = hearth.server.keys.find(secret)
    assert found is not None and found.name == "aider"
    page.click("#panel-curl .try")
    expect(page.locator("#trial-curl .verdict")).to_contain_text("answered 200", timeout=30_000)
    hearth.server.keys.create({"name": "zed"})
    page.click("button[aria-label='Revoke aider']")
    page.click(".ask:popover-open .danger")
    expect(page.locator("#notices")).to_contain_text("“aider” is revoked.")
    expect(page.locator(".ask:popover-open")).to_have_count(0)
    assert page.evaluate("document.activeElement.closest('#api-keys') !== null")
    expect(page.locator("#api-keys")).to_contain_text("zed")
    page.click("#panel-curl .try")


def test_signing_in_from_elsewhere_and_out_again(browser: Browser, tmp_path: Path, models_dir: Path) -> None:
    running = run_server(tmp_path, (models_dir,), host="0.0.0.0")
    hearth = next(running)
    secret = hearth.server.keys.create({"name": "owner", "scope": "admin"})[1]
    context = browser.new_context(base_url=hearth.base_url)
    page = context.new_page()
    page.goto("/models")
    expect(page.locator("h1")).to_have_text("Sign in to Hearth")
    page.fill("#key", "hearth_wrong")
    page.press("#key", "Enter")
    expect(page.locator("#key-error")).to_contain_text("not valid")
    page.fill("#key", secret)
    page.press("#key", "Enter")
    expect(page).to_have_url(re.compile("/models$"))
    expect(page.locator("#models")).to_contain_text(QWEN)
    other = context.new_page()
    other.goto("/connect")
    other.click(".sign-out .button")
    expect(other).to_have_url(re.compile("/login$"))
    expect(page.locator("body")).to_have_attribute("data-apart", re.compile(".*"), timeout=10_000)
    page.reload()
    expect(page.locator("h1")).to_have_text("Sign in to Hearth")
    context.close()
    running.close()  # type: ignore[attr-defined]
