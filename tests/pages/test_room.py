"""What all pages share: assets, policy, theme, words."""

from __future__ import annotations

import hashlib
import re
from datetime import date, datetime
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from webapp.pages.drawing import words
from webapp.paths import STATIC, TEMPLATES
from webapp.server import Server

PAGES = ("/chat", "/models", "/settings")


def test_vendored_files_are_the_pinned_ones() -> None:
    vendor = STATIC / "vendor"
    pins = dict(reversed(line.split()) for line in (vendor / "SHA256SUMS").read_text("utf-8").splitlines())
    found = {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in vendor.iterdir()}
    assert found.pop("SHA256SUMS")
    assert found == pins


@pytest.mark.parametrize("address", PAGES)
def test_pages_hold_nothing_inline_and_fetch_nothing_foreign(client: FlaskClient, address: str) -> None:
    page = client.get(address).text
    assert not re.search(r"<style|\sstyle=|\son[a-z]+=|<script(?![^>]*\ssrc=)", page)
    for asset in re.findall(r'\s(?:src|href|action)="([^"]*)"', page):
        assert asset.startswith(("/", "#")), asset
        if asset.startswith("/static/"):
            assert client.get(asset).status_code == 200


@pytest.mark.parametrize("address", PAGES)
def test_a_page_has_one_heading_a_language_and_its_place_in_the_rail(client: FlaskClient, address: str) -> None:
    page = client.get(address).text
    assert page.count("<h1") == 1
    assert '<html lang="en"' in page
    assert f'href="{address}" aria-current="page"' in page


@pytest.mark.parametrize("template", sorted(TEMPLATES.rglob("*.html")), ids=lambda path: path.name)
def test_icons_exist(template: Path) -> None:
    drawn = set(re.findall(r'<symbol id="([a-z]+)"', (STATIC / "icons.svg").read_text("utf-8")))
    used = set(re.findall(r'icon\("([a-z]+)"', template.read_text("utf-8")))
    assert used <= drawn


def test_the_theme_is_on_the_page_before_any_script_runs(client: FlaskClient, server: Server) -> None:
    server.settings.save({"theme": "dark"})
    page = client.get("/chat").text
    assert 'data-theme="dark"' in page
    assert '<meta name="color-scheme" content="dark">' in page


def test_models_are_listed_with_state_size_and_context(client: FlaskClient) -> None:
    page = client.get("/models").text
    for part in ("qwen3-nano", "tests/llama-nano", "ready", "0.7 MB", "4,096 tokens of context"):
        assert part in page


def test_models_that_would_read_alike_are_offered_by_their_whole_names() -> None:
    assert words.labels(["one/nano", "two/nano", "two/ember"]) == {
        "one/nano": "one/nano",
        "two/nano": "two/nano",
        "two/ember": "Ember",
    }


@pytest.mark.parametrize(
    ("then", "said"),
    [
        ((2026, 3, 12), "Today"),
        ((2026, 3, 11), "Yesterday"),
        ((2026, 3, 7), "Saturday"),
        ((2026, 2, 1), "February"),
        ((2025, 2, 1), "February 2025"),
    ],
)
def test_days(then: tuple[int, int, int], said: str) -> None:
    assert words.day(datetime(*then, 12).timestamp(), date(2026, 3, 12)) == said


@pytest.mark.parametrize(
    ("model", "said"), [("ember", "Ember"), ("org/Qwen3-4B", "Qwen3-4B"), ("qwen3-nano", "qwen3-nano")]
)
def test_short_names(model: str, said: str) -> None:
    assert words.short(model) == said


def test_rates_and_durations() -> None:
    assert (words.rate(4.26), words.rate(1234)) == ("4.3 tok/s", "1,234 tok/s")
    assert (words.seconds(0.25), words.seconds(12.34)) == ("250 ms", "12.3 s")
    assert (words.idle(3), words.idle(600), words.idle(9000)) == ("just used", "idle 10 min", "idle 2 h")
