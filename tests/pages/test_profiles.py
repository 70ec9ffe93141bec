"""Profiles on the pages: listed, made, copied, changed and deleted, with and without htmx; and chatted with."""

from __future__ import annotations

import re
from html import unescape
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from tests.conftest import LLAMA, QWEN
from tests.pages.conftest import CHAT, Scripted, until
from webapp.app import create_app
from webapp.pages.profiles import differences, typed_values, written
from webapp.paths import DataDir
from webapp.routing.profiles import TABLE, Profile
from webapp.server import Options, Server

HTMX = {"HX-Request": "true"}
PIRATE = {
    "name": "team/pirate",
    "model": QWEN,
    "system_prompt": "Talk like\na <pirate>.",
    "temperature": 0.5,
    "max_tokens": 4000,
    "template_options": {"enable_thinking": False, "effort": "low"},
    "pinned": True,
}


def test_the_list_shows_what_each_profile_changes(client: FlaskClient, server: Server) -> None:
    assert "None yet." in client.get("/models").text
    server.profiles.create(PIRATE)
    page = unescape(client.get("/models").text)
    for part in ("team/pirate", "a <pirate>", "temperature 0.5", "answer length 4,000 tokens", "thinking off"):
        assert part in page
    assert 'effort "low"' in page and "kept loaded" in page
    assert 'href="/profiles/team/pirate"' in page and "/profiles/new?copy=team/pirate" in page


@pytest.mark.parametrize(
    ("choices", "said"),
    [
        ({}, []),
        ({"idle_minutes": 0.0}, ["never unloaded when idle"]),
        ({"idle_minutes": 2.5, "context_length": 2048}, ["context limit 2,048 tokens", "idle time 2.5 minutes"]),
        ({"template_options": {"enable_thinking": True}, "temperature": 0.0}, ["temperature 0", "thinking on"]),
        ({"template_options": {"enable_thinking": 1}}, ["enable_thinking 1"]),
    ],
)
def test_differences_in_words(choices: dict, said: list[str]) -> None:
    assert list(differences(Profile("x", QWEN, **choices))) == said


def test_every_field_has_a_labelled_control_with_help(client: FlaskClient) -> None:
    page = unescape(client.get("/profiles/new").text)
    for name, choice in TABLE.items():
        assert re.search(rf'<label [^>]*for="{name}">', page), name
        assert f'name="{name}"' in page and choice.label in page and choice.help in page
    assert page.count("<h1") == 1 and 'href="/models" aria-current="page"' in page
    assert 'data-room="profile"' in page
    assert "empty means 4,096, all the model holds" in page


def test_a_form_says_what_a_profile_says(server: Server) -> None:
    profile = server.profiles.create(PIRATE | {"idle_minutes": 1.5, "top_k": 1_000_000})
    form = {name: text for name, text in written(profile).items() if text}
    assert server.profiles.replace(profile.name, typed_values(form)) == profile


def test_making_one(client: FlaskClient, server: Server) -> None:
    form = {"name": "cook", "model": LLAMA, "system_prompt": "Cook\r\nwell.", "temperature": "0.5", "top_p": ""}
    made = client.post("/profiles/new", data=form | {"thinking": "on", "template_options": '{"n": 1}'})
    assert (made.status_code, made.headers["Location"]) == (303, "/models?saved=cook#profiles")
    profile = server.profiles.current["cook"]
    assert (profile.system_prompt, profile.temperature, profile.top_p) == ("Cook\nwell.", 0.5, None)
    assert (profile.template_options, profile.pinned) == ({"n": 1, "enable_thinking": True}, False)
    assert "Saved “cook”." in client.get("/models?saved=cook").text
    assert "Saved" not in client.get("/models?saved=nobody").text


def test_htmx_is_sent_to_the_list(client: FlaskClient) -> None:
    made = client.post("/profiles/new", data={"name": "cook", "model": QWEN}, headers=HTMX)
    assert (made.status_code, made.headers["HX-Redirect"]) == (200, "/models?saved=cook#profiles")


@pytest.mark.parametrize("headers", [{}, HTMX], ids=["plain", "htmx"])
def test_what_does_not_fit_is_said_at_its_field_and_nothing_is_lost(
    client: FlaskClient, server: Server, headers: dict[str, str]
) -> None:
    form = {"name": "a b", "model": LLAMA, "temperature": "hot", "system_prompt": "<b>\nKept", "pinned": "on"}
    part = client.post("/profiles/new", data=form | {"template_options": "{x", "thinking": "on"}, headers=headers)
    assert part.status_code == 400
    assert ("<html" in part.text) == (not headers)
    assert set(re.findall(r'id="error-(\w+)"', part.text)) == {"name", "temperature", "template_options"}
    assert part.text.count('aria-invalid="true"') == 3
    page = unescape(part.text)
    for kept in ('value="a b"', 'value="hot"', "<b>\nKept</textarea>", "{x</textarea>", '"on" selected'):
        assert kept in page
    assert re.search(rf'value="{LLAMA}" selected', page) and re.search(r'name="pinned"[^>]*checked', page)
    assert '<details class="more" open>' in page
    assert not server.profiles.current


@pytest.mark.parametrize("options", ["[1]", "NaN", "[" * 5000, '{"a": {}}', '{"tools": 1}', '{"a": "\\ud800"}', "7"])
def test_template_options_that_are_none(client: FlaskClient, server: Server, options: str) -> None:
    part = client.post("/profiles/new", data={"name": "x", "model": QWEN, "template_options": options})
    assert part.status_code == 400 and 'id="error-template_options"' in part.text
    assert not server.profiles.current


def test_a_taken_name_is_said_at_the_name(client: FlaskClient, server: Server) -> None:
    server.profiles.create(PIRATE)
    part = client.post("/profiles/new", data={"name": "team/pirate", "model": QWEN}, headers=HTMX)
    assert part.status_code == 400 and "There is a profile" in part.text and 'id="error-name"' in part.text


def test_copying_offers_a_free_name(client: FlaskClient, server: Server) -> None:
    server.profiles.create(PIRATE)
    server.profiles.create(PIRATE | {"name": "team/pirate-2"})
    page = unescape(client.get("/profiles/new?copy=team/pirate").text)
    assert 'value="team/pirate-3"' in page and "Talk like\na <pirate>." in page
    assert 'action="/profiles/new"' in page


def test_changing_and_renaming(client: FlaskClient, server: Server) -> None:
    profile = server.profiles.create(PIRATE)
    page = client.get("/profiles/team/pirate").text
    assert 'action="/profiles/team/pirate"' in page and "<h1>team/pirate</h1>" in page
    form = written(profile) | {"name": "cook", "pinned": ""}
    assert client.post("/profiles/team/pirate", data=form).headers["Location"] == "/models?saved=cook#profiles"
    assert list(server.profiles.current) == ["cook"] and not server.profiles.current["cook"].pinned
    wrong = client.post("/profiles/cook", data=form | {"top_p": "7"})
    assert wrong.status_code == 400 and 'action="/profiles/cook"' in wrong.text
    for gone in (client.get("/profiles/team/pirate"), client.post("/profiles/team/pirate", data=form)):
        assert gone.status_code == 404 and "There is no profile" in gone.text


def test_deleting_asks_first(client: FlaskClient, server: Server) -> None:
    for name in ("a", "b", "c/delete"):
        server.profiles.create({"name": name, "model": QWEN})
    page = client.get("/models").text
    assert "Delete “a”?" in page and page.count(" popover ") >= 3
    gone = client.post("/profiles/a", data={"delete": "yes"})
    assert (gone.status_code, gone.headers["Location"]) == (303, "/models?deleted=a#profiles")
    assert "The profile is deleted." in client.get("/models?deleted=a").text
    part = client.post("/profiles/b", data={"delete": "yes"}, headers=HTMX).text
    assert part.startswith("\n<section") or '<section id="profiles"' in part
    assert "Deleted “b”." in part and "Delete “b”?" not in part
    assert list(server.profiles.current) == ["c/delete"]
    assert client.post("/profiles/a", data={"delete": "yes"}).status_code == 404


def test_another_model_says_what_it_brings(client: FlaskClient, server: Server) -> None:
    server.settings.save({"temperature": 0.7, "max_tokens": 99, "idle_minutes": 5})
    part = client.get(f"/profiles/new?model={LLAMA}", headers=HTMX).text
    assert part.count("<hx-partial") == 8 and "<form" not in part
    assert '#otherwise-temperature" hx-swap="innerHTML">empty means 0, the model’s own<' in part
    assert ">empty means 99, from Settings<" in part and ">empty means 5 minutes, from Settings<" in part
    assert re.search(rf'value="{LLAMA}" selected', client.get(f"/profiles/new?model={LLAMA}").text)


def test_a_profile_whose_model_is_gone_says_so_everywhere(models_dir: Path, tmp_path: Path) -> None:
    with_models, without = Options((models_dir,), {}, {}), Options((), {}, {"HF_HUB_CACHE": str(tmp_path)})
    before = Server(with_models, DataDir.at(tmp_path))
    before.profiles.create(PIRATE)
    before.close()
    client = create_app(Server(without, DataDir.at(tmp_path))).test_client()
    assert f"{QWEN} is not installed" in client.get("/models").text
    assert f"{QWEN} (not installed)" in client.get("/profiles/team/pirate").text
    assert 'value="team/pirate"' not in client.get("/chat").text
    part = client.get("/chat/about?model=team/pirate", headers=HTMX)
    assert part.status_code == 404 and QWEN in part.text


def test_the_chat_offers_profiles_in_a_group_of_their_own(client: FlaskClient, server: Server) -> None:
    assert "<optgroup" not in client.get("/chat").text
    server.profiles.create(PIRATE)
    page = client.get("/chat").text
    assert re.search(r'<optgroup label="Profiles"><option value="team/pirate">team/pirate</option></optgroup>', page)
    assert '<optgroup label="Models">' in page


def test_a_chat_is_held_with_a_profile(client: FlaskClient, server: Server, scripted: Scripted) -> None:
    server.profiles.create(PIRATE | {"template_options": {"enable_thinking": True}})
    about = client.get("/chat/about?model=team/pirate", headers=HTMX).text
    assert "A profile of qwen3-nano with a system prompt of its own" in about
    assert 'value="on" checked' in about
    client.post("/chat", data={"chat": CHAT, "text": "Ahoy", "model": "team/pirate", "think": "off"})
    until(lambda: bool(scripted.requests))
    assert scripted.requests[0].model == "team/pirate"
    assert scripted.requests[0].template_options == {"enable_thinking": False}
    scripted.say("Arr.")
    scripted.end()
    until(lambda: server.chats.answer(CHAT) is None)
    page = client.get(f"/chat/{CHAT}").text
    assert '<option value="team/pirate" selected>' in page and 'value="on" checked' not in page
    server.profiles.delete("team/pirate")
    assert "pirate is no longer available" in client.get(f"/chat/{CHAT}").text
