"""Pages of other sites: nothing without an entry in the settings, and with one only /v1."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.conftest import Hearth, run_server
from tests.wsgi.conftest import Running, serve  # noqa: F401
from tests.wsgi.test_guards import Application
from webapp.addresses import Admitted
from webapp.app import create_app
from webapp.wsgi.guards import Guards

APP = "https://app.example"
PREFLIGHT = {
    "Origin": APP,
    "Access-Control-Request-Method": "POST",
    "Access-Control-Request-Headers": "authorization,content-type",
}


@pytest.fixture
def running(serve) -> Iterator[Running]:  # noqa: F811
    yield serve(Guards(Application(), lambda: Admitted(origins=(APP, "http://localhost:3000"))))


def test_a_preflight_is_answered_before_anything_else(serve, running: Running) -> None:  # noqa: F811
    answer = running.ask("OPTIONS", "/v1/chat/completions", **PREFLIGHT)
    assert (answer.status, answer.body) == (204, b"")
    assert answer.headers["access-control-allow-origin"] == APP
    assert answer.headers["access-control-allow-headers"] == "authorization,content-type"
    assert "POST" in answer.headers["access-control-allow-methods"]
    assert "access-control-allow-credentials" not in answer.headers
    assert "access-control-allow-private-network" not in answer.headers
    asked = running.ask("OPTIONS", "/v1/models", **PREFLIGHT, **{"Access-Control-Request-Private-Network": "true"})
    assert asked.headers["access-control-allow-private-network"] == "true"


@pytest.mark.parametrize("site", [{}, {"Sec-Fetch-Site": "cross-site"}])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_what_an_allowed_page_asks(running: Running, method: str, site: dict[str, str]) -> None:
    answer = running.ask(method, "/v1/models", Origin=APP, **site)
    assert answer.status == 200
    assert answer.headers["access-control-allow-origin"] == APP
    assert answer.headers["vary"] == "Origin"
    assert "x-request-id" in answer.headers["access-control-expose-headers"]


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", "https://app.example:444", "http://app.example", "*"]
)
@pytest.mark.parametrize("path", ["/v1/models", "/v1/chat/completions"])
def test_no_other_page(running: Running, origin: str, path: str) -> None:
    asked = running.ask("OPTIONS", path, **{**PREFLIGHT, "Origin": origin})
    assert not any(name.startswith("access-control") for name in asked.headers)
    assert running.ask("POST", path, Origin=origin).status == 403


@pytest.mark.parametrize("path", ["/api/settings", "/", "/chat", "/health", "/v1x/models", "/login"])
def test_nothing_but_v1(running: Running, path: str) -> None:
    assert running.ask("POST", path, Origin=APP).status == 403
    for method in ("OPTIONS", "GET"):
        answer = running.ask(method, path, **PREFLIGHT)
        assert not any(name.startswith("access-control") for name in answer.headers)


def test_the_host_is_checked_all_the_same(running: Running) -> None:
    assert running.ask("OPTIONS", "/v1/models", **PREFLIGHT, Host="evil.example").status == 403


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Hearth]:
    """A real server that lets that page in."""
    yield from run_server(tmp_path, (), cors_origins=APP)


def test_a_preflight_lets_every_method_of_every_route_of_v1(opened: Hearth) -> None:
    routes = [rule for rule in create_app(opened.server).url_map.iter_rules() if rule.rule.startswith("/v1/")]
    methods = {method for rule in routes for method in rule.methods or ()}
    assert len(routes) > 10 and {"GET", "POST", "DELETE"} <= methods
    answer = httpx.options(f"{opened.base_url}/v1/responses/resp_1", headers=PREFLIGHT)
    assert methods == set(answer.headers["access-control-allow-methods"].split(", "))


def test_an_allowed_page_deletes_a_response(opened: Hearth) -> None:
    kept = {"id": "resp_1", "previous_response_id": None, "output": []}
    assert opened.server.responses.keep(None, [], kept)
    url, site = f"{opened.base_url}/v1/responses/resp_1", {"Origin": APP, "Sec-Fetch-Site": "cross-site"}
    asked = httpx.options(url, headers={**PREFLIGHT, "Access-Control-Request-Method": "DELETE"})
    assert "DELETE" in asked.headers["access-control-allow-methods"].split(", ")
    for status in (200, 404):
        answer = httpx.delete(url, headers=site)
        assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (status, APP)
