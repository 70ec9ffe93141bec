"""The audit as a person uses it: it grows by itself, rows open in place, filters and exports agree."""

from __future__ import annotations

import csv
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import OpenTab
from tests.conftest import Hearth

CONTRAST = (Path(__file__).parent / "contrast.js").read_text("utf-8")


def ask(hearth: Hearth, model: str | None = None, **body: object) -> str:
    said = {"model": model or hearth.models[0], "prompt": "The river", "max_tokens": 3, **body}
    return httpx.post(f"{hearth.base_url}/v1/completions", json=said, timeout=30).headers["x-request-id"]


def top(page: Page) -> str | None:
    return page.locator(".entry").first.get_attribute("id")


def test_new_rows_come_by_themselves_and_opened_ones_stay_open(open_tab: OpenTab, hearth: Hearth) -> None:
    first = ask(hearth)
    page = open_tab("/audit").page
    expect(page.locator(f"#row-{first}")).to_be_visible()
    page.click(f"#row-{first} a")
    expect(page.locator(f"#row-{first}")).to_contain_text("First token")
    assert page.evaluate("document.activeElement.getAttribute('aria-expanded')") == "true"
    latest = [ask(hearth) for _ in range(4)][-1]
    expect(page.locator(".entry").first).to_have_id(f"row-{latest}", timeout=2000)
    ids = page.evaluate("[...document.querySelectorAll('.entry')].map((entry) => entry.id)")
    assert ids[4] == f"row-{first}" and len(set(ids)) == len(ids)
    expect(page.locator(f"#row-{first} .audit-detail")).to_be_visible()
    page.keyboard.press("Enter")
    expect(page.locator(f"#row-{first} .audit-detail")).to_have_count(0)


def test_filters_act_at_once_and_hold_back_what_does_not_fit(open_tab: OpenTab, hearth: Hearth) -> None:
    ask(hearth)
    page = open_tab("/audit").page
    refused = ask(hearth, model="gpt-9")
    page.select_option("[name=status]", "refused")
    expect(page.locator(".entry").first).to_have_id(f"row-{refused}")
    expect(page.locator(".ended[data-status=ok]")).to_have_count(0)
    assert page.evaluate("location.search") == "?status=refused"
    ask(hearth)
    page.wait_for_timeout(1200)
    assert top(page) == f"row-{refused}"
    page.keyboard.press("Escape")
    page.locator("h1").click()
    page.keyboard.press("/")
    page.keyboard.type("gpt-9")
    expect(page.locator(".entry").first).to_have_id(f"row-{refused}")
    assert page.evaluate("document.activeElement.id") == "search"
    page.fill("#search", "")
    page.select_option("[name=status]", "")
    expect(page.locator("#audit[data-live]")).to_have_count(1)
    latest = ask(hearth)
    expect(page.locator(".entry").first).to_have_id(f"row-{latest}", timeout=2000)


def test_the_first_row_ends_the_empty_state(open_tab: OpenTab, hearth: Hearth) -> None:
    page = open_tab("/audit?model=tests/nothing").page
    expect(page.locator("#audit > .nothing")).to_contain_text("Nothing fits.")
    expect(page.locator("#audit-table")).to_be_hidden()
    page.click("text=Show everything")
    expect(page.locator("#audit-table")).to_be_visible()


def test_an_export_is_what_the_filters_show(open_tab: OpenTab, hearth: Hearth) -> None:
    refused = ask(hearth, model="gpt-8")
    page = open_tab("/audit?model=gpt-8").page
    with page.expect_download() as download:
        page.click("button:has-text('CSV')")
    assert download.value.suggested_filename.endswith(".csv")
    with Path(download.value.path()).open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["id"], row["status"]) for row in rows] == [(refused, "refused")]


def test_all_of_it_works_without_javascript(open_tab: OpenTab, hearth: Hearth) -> None:
    refused = ask(hearth, model="gpt-7")
    ask(hearth)
    page = open_tab("/audit", java_script_enabled=False).page
    page.select_option("[name=status]", "refused")
    page.click("button:has-text('Filter')")
    page.locator(f"#row-{refused} a").click()
    expect(page.locator("h1")).to_have_text("Request")
    expect(page.locator("main")).to_contain_text("The model 'gpt-7' is not installed.")


@pytest.mark.parametrize("width", [320, 390, 900, 1240])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_and_can_be_read(open_tab: OpenTab, hearth: Hearth, width: int, scheme: str) -> None:
    for model in (None, "a-name-without-any-end" * 6):
        ask(hearth, model=model)
    page = open_tab("/audit", viewport={"width": width, "height": 800}, color_scheme=scheme).page
    page.locator(".entry a").first.click()
    expect(page.locator(".audit-detail")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate("document.querySelector('main').scrollWidth") <= width
    assert page.evaluate(CONTRAST) == []
