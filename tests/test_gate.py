"""Every route of the application where keys are required: without one, with one for inference, with one for all."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.routing import Rule

from webapp.app import create_app
from webapp.dialects import wants_json
from webapp.server import Server

OPEN = ("/static/", "/health", "/login", "/sign-in")
VALUES = {"chat_id": "chat-0001", "message_id": 1, "notice_id": 1, "filename": "app.css"}


@pytest.fixture
def server(exposed: Server) -> Server:
    return exposed


@pytest.fixture
def app(server: Server) -> Flask:
    return create_app(server)


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


def routes(app: Flask) -> Iterator[tuple[str, str]]:
    """Every method of every rule, at an address of its own."""
    for rule in app.url_map.iter_rules():
        for method in sorted(rule.methods or ()):
            yield method, address(app, rule)


def address(app: Flask, rule: Rule) -> str:
    values = {name: VALUES.get(name, "1") for name in rule.arguments}
    return str(app.url_map.bind("localhost").build(rule.endpoint, values, append_unknown=False))


def test_nothing_but_health_and_the_way_in_without_a_key(app: Flask, client: FlaskClient) -> None:
    tried = list(routes(app))
    assert len(tried) > 100
    for method, path in tried:
        answer = client.open(path, method=method)
        if path.startswith(OPEN):
            assert answer.status_code in (200, 204, 303, 401, 405), (method, path)
            continue
        assert answer.status_code == 401, (method, path)
        if wants_json(path) or path == "/metrics":
            assert answer.headers["WWW-Authenticate"] == "Bearer"
            assert method == "HEAD" or answer.json["error"]["code"] == "invalid_api_key"
        elif method != "HEAD":
            assert 'action="/login"' in answer.text and "nano" not in answer.text


@pytest.mark.parametrize(
    "path",
    ["/live", "/nowhere", "/api/nowhere", "/v1/nowhere", "//api/pool", "/V1/models", "/v1x", "/healthz", "/health/x",
     "/v1/../api/pool", "/static/../api/pool", "/static/%2e%2e/api/pool", "/static", "/login/../api/pool", "/metrics"],
)  # fmt: skip
def test_no_way_around(client: FlaskClient, path: str) -> None:
    assert client.get(path).status_code in (400, 401, 404, 308)
    assert client.get(path, follow_redirects=True).status_code in (400, 401, 404)


def test_a_key_for_inference_on_every_route(app: Flask, client: FlaskClient, server: Server) -> None:
    secret = server.keys.create({"name": "agent"})[1]
    for method, path in routes(app):
        answer = client.open(path, method=method, headers={"Authorization": f"Bearer {secret}"})
        if path.startswith("/v1/"):
            assert answer.status_code not in (401, 403), (method, path)
        elif not path.startswith(OPEN):
            assert answer.status_code == 403, (method, path)


def test_an_admin_key_on_every_page(app: Flask, client: FlaskClient, server: Server) -> None:
    secret = server.keys.create({"name": "owner", "scope": "admin"})[1]
    for method, path in routes(app):
        if method == "GET" and path not in ("/live", "/sign-in"):
            answer = client.get(path, headers={"x-api-key": secret})
            assert answer.status_code not in (401, 403), (method, path)


def test_wrong_keys_too_often(client: FlaskClient, server: Server) -> None:
    secret = server.keys.create({"name": "agent"})[1]
    attacker = {"REMOTE_ADDR": "192.0.2.1"}
    for _ in range(20):
        assert client.get("/v1/models", headers={"x-api-key": "no"}, environ_base=attacker).status_code == 401
    stopped = client.get("/v1/models", headers={"x-api-key": secret}, environ_base=attacker)
    assert (stopped.status_code, stopped.json["error"]["code"]) == (429, "too_many_attempts")
    assert 0 < int(stopped.headers["Retry-After"]) <= 60
    assert client.post("/login", data={"key": "no"}, environ_base=attacker).status_code == 429
    assert client.get("/v1/models", headers={"x-api-key": secret}).status_code == 200
