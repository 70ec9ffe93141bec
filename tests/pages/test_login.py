"""Signing in with an admin key, out again, and what a stranger sees."""

from __future__ import annotations

import re

import pytest
from flask.testing import FlaskClient

from webapp.server import Server


@pytest.fixture
def server(exposed: Server) -> Server:
    return exposed


@pytest.fixture
def secret(server: Server) -> str:
    return server.keys.create({"name": "owner", "scope": "admin"})[1]


def test_in_and_out(client: FlaskClient, server: Server, secret: str) -> None:
    asked = client.get("/settings?x=1")
    assert asked.status_code == 401
    assert 'name="next" value="/settings?x=1"' in asked.text and 'type="password"' in asked.text
    entered = client.post("/login", data={"key": f" {secret} ", "next": "/settings?x=1"})
    assert (entered.status_code, entered.location) == (303, "/settings?x=1")
    cookie = entered.headers["Set-Cookie"]
    assert re.match(rf"{server.access.cookie_name}=[\w-]{{43}};", cookie)
    assert "HttpOnly" in cookie and "SameSite=Strict" in cookie and "Path=/" in cookie and "Domain" not in cookie
    assert client.get("/settings").status_code == 200
    assert client.get("/api/keys").status_code == 200
    left = client.post("/logout")
    assert left.location == "/login" and "Max-Age=0" in left.headers["Set-Cookie"]
    assert client.get("/settings").status_code == 401
    assert client.get("/login").status_code == 200


@pytest.mark.parametrize(
    ("key", "status", "words"),
    [("", 401, "not valid"), ("hearth_nobody", 401, "not valid"), ("inference", 403, "scope &#39;admin&#39;")],
)
def test_a_key_that_does_not_do(client: FlaskClient, server: Server, key: str, status: int, words: str) -> None:
    if key == "inference":
        key = server.keys.create({"name": "agent"})[1]
    answer = client.post("/login", data={"key": key, "next": "/chat"})
    assert answer.status_code == status
    assert words in answer.text and 'aria-invalid="true"' in answer.text and 'value="/chat"' in answer.text
    assert "Set-Cookie" not in answer.headers
    assert not key or key not in answer.text


@pytest.mark.parametrize(
    "way_on",
    [
        "//evil.example",
        "/\\evil.example",
        "https://evil.example",
        "javascript:alert(1)",
        "",
        "/\t/evil.example",
        "/a\r\nb",
    ],
)
def test_the_way_on_leads_nowhere_else(client: FlaskClient, secret: str, way_on: str) -> None:
    assert client.post("/login", data={"key": secret, "next": way_on}).location == "/"


def test_a_part_of_a_page_gets_a_notice(client: FlaskClient) -> None:
    answer = client.get("/chat", headers={"HX-Request": "true"})
    assert answer.status_code == 401
    assert "<html" not in answer.text and "#notices" in answer.text and "sign in" in answer.text


def test_who_signed_in_stands_in_the_audit(client: FlaskClient, server: Server, secret: str) -> None:
    client.post("/login", data={"key": secret})
    server.audit.start()
    client.post("/settings", data={"batch_size": "4"})
    server.audit.flush()
    (row,) = client.get("/api/audit/logs").json["logs"]
    assert (row["who"], row["endpoint"]) == ("owner", "settings.save")


def test_a_revoked_key_ends_its_sessions(client: FlaskClient, server: Server, secret: str) -> None:
    client.post("/login", data={"key": secret})
    assert client.get("/chat").status_code == 200
    server.keys.revoke("owner")
    assert client.get("/chat").status_code == 401
