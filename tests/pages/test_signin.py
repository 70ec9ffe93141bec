"""Sign-in on this computer: every route there is, with and without the cookie."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.routing import Rule

from webapp.app import create_app
from webapp.server import Server

OPEN = ("/v1/", "/static/", "/health", "/sign-in", "/login")
VALUES = {
    "chat_id": "chat-0001",
    "model_id": "m",
    "name": "n",
    "message_id": 1,
    "request_id": "r",
    "filename": "app.css",
}


@pytest.fixture
def app(server: Server) -> Flask:
    server.settings.save({"sign_in": "on"})
    return create_app(server)


@pytest.fixture
def stranger(app: Flask) -> FlaskClient:
    return app.test_client()


@pytest.fixture
def owner(app: Flask, server: Server) -> FlaskClient:
    client = app.test_client()
    assert client.get(f"/sign-in?ticket={server.tickets.issue()}").status_code == 200
    return client


def routes(app: Flask) -> Iterator[tuple[str, str]]:
    """Every method of every rule, at an address of its own."""
    for rule in app.url_map.iter_rules():
        for method in sorted((rule.methods or set()) - {"OPTIONS"}):
            yield method, address(app, rule)


def address(app: Flask, rule: Rule) -> str:
    values = {name: VALUES.get(name, "1") for name in rule.arguments}
    built = app.url_map.bind("localhost").build(rule.endpoint, values, append_unknown=False)
    return str(built)


def test_nobody_without_the_cookie_gets_any_page_or_api(app: Flask, stranger: FlaskClient) -> None:
    tried = list(routes(app))
    assert len(tried) > 60
    for method, path in tried:
        answer = stranger.open(path, method=method)
        if path.startswith(OPEN):
            assert answer.status_code != 401 or path in ("/sign-in", "/login"), (method, path)
            continue
        assert answer.status_code == 401, (method, path)
        if path.startswith("/api"):
            assert answer.get_json(silent=True) is None if method == "HEAD" else answer.json["error"]["code"]
        elif method != "HEAD":
            assert "hearth sign-in" in answer.text and "chat-0001" not in answer.text


@pytest.mark.parametrize("path", ["/live", "/nowhere", "/api/nowhere", "//api/pool", "/V1/models", "/v1x", "/healthz"])
def test_neither_do_addresses_that_are_none(stranger: FlaskClient, path: str) -> None:
    assert stranger.get(path).status_code in (401, 308)


@pytest.mark.parametrize("path", ["/v1/../api/pool", "/static/../api/pool", "/static/%2e%2e/api/pool"])
def test_no_way_around(stranger: FlaskClient, path: str) -> None:
    assert stranger.get(path).status_code in (400, 401, 404)


def test_the_ticket_becomes_a_cookie_that_scripts_and_other_sites_do_not_get(app: Flask, server: Server) -> None:
    client = app.test_client()
    link = f"/sign-in?ticket={server.tickets.issue()}"
    assert client.head(link).status_code == 204
    assert client.get(link, headers={"Sec-Purpose": "prefetch"}).status_code == 204
    entered = client.get(link)
    cookie = entered.headers["Set-Cookie"]
    assert re.match(rf"{server.access.cookie_name}=[\w-]{{43}};", cookie)
    assert "HttpOnly" in cookie and "SameSite=Strict" in cookie and "Path=/" in cookie and "Domain" not in cookie
    assert 'content="0;url=/"' in entered.text
    assert client.get("/settings").status_code == 200
    assert client.get("/api/pool").status_code == 200
    used = app.test_client().get(link)
    assert (used.status_code, "Set-Cookie" in used.headers) == (401, False)
    assert "used up" in used.text


def test_v1_is_as_before(stranger: FlaskClient) -> None:
    assert stranger.get("/v1/models").status_code == 200
    assert stranger.get("/health").json == stranger.get("/health").json | {"sign_in": True}


def test_a_part_of_a_page_gets_a_notice(stranger: FlaskClient) -> None:
    answer = stranger.get("/chat", headers={"HX-Request": "true"})
    assert answer.status_code == 401
    assert "<html" not in answer.text and "#notices" in answer.text


def test_off_means_open_and_whoever_switches_it_on_stays_signed_in(client: FlaskClient, server: Server) -> None:
    assert server.settings.current.sign_in == "off"
    assert client.get("/chat").status_code == 200
    assert client.post("/settings", data={"sign_in": "on"}).status_code == 200
    assert client.get("/chat").status_code == 200
    client.delete_cookie(server.access.cookie_name)
    assert client.get("/chat").status_code == 401
    server.settings.save({"sign_in": "off"})
    assert client.get("/chat").status_code == 200


def test_who_switches_it_on_with_a_key_stays_signed_in_as_long_as_the_key(client: FlaskClient, server: Server) -> None:
    _, secret = server.keys.create({"name": "laptop", "scope": "admin"})
    saved = client.post("/settings", data={"sign_in": "on"}, headers={"Authorization": f"Bearer {secret}"})
    assert "Set-Cookie" in saved.headers
    assert client.get("/settings").status_code == 200
    server.keys.revoke("laptop")
    assert client.get("/settings").status_code == 401


def test_a_ticket_is_the_owners_whatever_key_comes_with_it(app: Flask, server: Server) -> None:
    _, secret = server.keys.create({"name": "laptop", "scope": "admin"})
    client = app.test_client()
    assert client.get(f"/sign-in?ticket={server.tickets.issue()}", headers={"x-api-key": secret}).status_code == 200
    server.keys.revoke("laptop")
    assert client.get("/settings").status_code == 200


def test_the_owner_may_do_what_the_owner_could(owner: FlaskClient) -> None:
    for path in ("/chat", "/models", "/activity", "/settings", "/api/settings", "/api/pool"):
        assert owner.get(path).status_code == 200
    assert owner.get("/nowhere").status_code == 404


SEEN_INSIDE = ('class="rail"', "hx-ws:connect", "A secret notice", 'id="hearth"')


@pytest.fixture
def noticed(server: Server) -> Server:
    server.notices.add("A secret notice")
    return server


def test_those_kept_out_of_the_pages_see_nothing_of_hearth_in_the_description_of_its_api(
    noticed: Server, stranger: FlaskClient, owner: FlaskClient
) -> None:
    page = stranger.get("/v1/docs")
    assert page.status_code == 200 and "POST /v1/chat/completions" in page.text
    assert not [part for part in SEEN_INSIDE if part in page.text]
    within = owner.get("/v1/docs").text
    assert [part for part in SEEN_INSIDE if part in within] == list(SEEN_INSIDE)


@pytest.mark.parametrize(("path", "status"), [("/v1/docs", 200), ("/chat", 403)])
def test_a_key_for_inference_sees_nothing_of_hearth_on_any_page(
    noticed: Server, stranger: FlaskClient, path: str, status: int
) -> None:
    _, secret = noticed.keys.create({"name": "agent"})
    page = stranger.get(path, headers={"x-api-key": secret})
    assert page.status_code == status
    assert not [part for part in SEEN_INSIDE if part in page.text]
