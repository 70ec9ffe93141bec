"""Who may ask at all: Host and Origin on every route and WebSocket, and headers on every response."""

from __future__ import annotations

import json
import re
from typing import Any

import httpx
import pytest

from tests.conftest import Hearth
from tests.wsgi.conftest import read_until, serve  # noqa: F401
from webapp.addresses import LOOPBACK_NAMES, Admitted
from webapp.dialects import Refusal, wants_json
from webapp.wsgi.guards import Guards
from webapp.wsgi.refusals import SECURITY_HEADERS


class Application:
    def __init__(self) -> None:
        self.environs: list[dict[str, Any]] = []

    def __call__(self, environ, start_response):
        self.environs.append(environ)
        headers = [("Content-Type", "text/plain"), ("Referrer-Policy", "no-referrer"), ("X-Request-Id", "mine")]
        start_response("200 OK", headers)
        return [b"ok"]


@pytest.fixture
def application() -> Application:
    return Application()


@pytest.fixture
def running(serve, application: Application):  # noqa: F811
    return serve(Guards(application))


def send(running, *lines: str) -> tuple[int, dict[str, str]]:
    connection = running.connect("\r\n".join([*lines, "", ""]).encode())
    head = read_until(connection, b"\r\n\r\n").decode("latin-1").partition("\r\n\r\n")[0].split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in head[1:])
    return int(head[0].split()[1]), headers


@pytest.mark.parametrize("name", LOOPBACK_NAMES)
@pytest.mark.parametrize("port", ["", ":80", ":10242"])
def test_loopback_hosts_on_any_port(running, name: str, port: str) -> None:
    assert send(running, "GET / HTTP/1.1", f"Host: {name.upper()}{port}")[0] == 200


@pytest.mark.parametrize(
    ("host", "status"),
    [
        (["Host: evil.example"], 403),
        (["Host: evil.example:10242"], 403),
        (["Host: localhost.evil.example"], 403),
        (["Host: 127.0.0.1.evil.example"], 403),
        (["Host: printer.local"], 403),
        (["Host: 0.0.0.0"], 403),
        (["Host: localhost."], 403),
        (["Host: localhost@evil.example"], 400),
        (["Host: localhost:port"], 400),
        (["Host: "], 400),
        ([], 400),
        (["Host: localhost", "Host: localhost"], 400),
        (["Host: localhost, evil.example"], 400),
    ],
)
@pytest.mark.parametrize("method", ["GET", "OPTIONS"])
def test_other_hosts_are_refused(running, application, method: str, host: list[str], status: int) -> None:
    assert send(running, f"{method} /v1/models HTTP/1.1", *host)[0] == status
    assert application.environs == []


@pytest.mark.parametrize(
    ("headers", "allowed"),
    [
        ([], True),  # curl, an SDK
        (["Sec-Fetch-Site: same-origin"], True),
        (["Sec-Fetch-Site: none"], True),
        (["Sec-Fetch-Site: same-site"], False),
        (["Sec-Fetch-Site: cross-site"], False),
        (["Sec-Fetch-Site: cross-site", "Sec-Fetch-Site: same-origin"], False),
        (["Sec-Fetch-Site: cross-site", "Origin: http://localhost:1"], False),
        (["Sec-Fetch-Site: "], False),
        (["Origin: http://localhost:1"], True),
        (["Origin: http://LOCALHOST:1"], True),
        (["Origin: http://localhost:2"], False),
        (["Origin: http://127.0.0.1:1"], False),
        (["Origin: http://evil.example"], False),
        (["Origin: http://evil.example@localhost:1"], False),
        (["Origin: null"], False),
        (["Origin: file://"], False),
        (["Origin: "], False),
    ],
)
@pytest.mark.parametrize(
    "opening",
    [
        ["POST /v1/chat/completions HTTP/1.1"],
        ["PUT /api/settings HTTP/1.1"],
        ["DELETE /chat/1 HTTP/1.1"],
        ["GET /live HTTP/1.1", "Upgrade: WebSocket"],
    ],
    ids=lambda opening: opening[0].split()[0],
)
def test_origin_of_unsafe_requests(running, opening: list[str], headers: list[str], allowed: bool) -> None:
    assert send(running, *opening, "Host: localhost:1", *headers)[0] == (200 if allowed else 403)


def test_a_websocket_from_another_site_never_reaches_the_application(running, application: Application) -> None:
    upgrade = ["Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: x"]
    for host, origin in [("localhost", "http://evil.example"), ("evil.example", "http://evil.example")]:
        head = ["GET /live HTTP/1.1", f"Host: {host}", f"Origin: {origin}", *upgrade]
        assert send(running, *head)[0] == 403
    assert application.environs == []


def test_links_from_elsewhere_may_open_pages(running) -> None:
    assert send(running, "GET /chat HTTP/1.1", "Host: localhost", "Sec-Fetch-Site: cross-site")[0] == 200


@pytest.mark.parametrize("path", ["/v1/models", "/api/pool"])
def test_refusals_are_json_for_programs(running, path: str) -> None:
    answer = running.ask("POST", path, Origin="http://evil.example")
    error = json.loads(answer.body)["error"]
    assert answer.headers["content-type"] == "application/json"
    assert (error["type"], error["code"], error["param"]) == ("permission_error", "origin_not_allowed", None)
    assert "access-control-allow-origin" not in answer.headers


def test_refusals_are_readable_on_pages(running) -> None:
    answer = running.ask("GET", "/chat", Host="evil.example")
    assert answer.headers["content-type"].startswith("text/plain")
    assert b"evil.example" in answer.body and answer.headers["x-request-id"].encode() in answer.body
    assert running.ask("HEAD", "/chat", Host="evil.example").body == b""


@pytest.mark.parametrize("host", ["localhost", "evil.example"])
def test_every_response_carries_the_headers(running, host: str) -> None:
    headers = running.ask("GET", "/", Host=host).headers
    for name, value in SECURITY_HEADERS:
        chosen = name == "Referrer-Policy" and host == "localhost"
        assert headers[name.lower()] == ("no-referrer" if chosen else value)
    assert re.fullmatch(r"req_[0-9a-f]{32}", headers["x-request-id"])
    assert "server" not in headers


def test_request_ids(running, application: Application) -> None:
    first = running.ask("GET", "/", **{"X-Client-Request-Id": "abc-1"})
    second = running.ask("GET", "/", **{"X-Client-Request-Id": "no spaces"})
    assert [environ["hearth.request_id"] for environ in application.environs] == [
        first.headers["x-request-id"],
        second.headers["x-request-id"],
    ]
    assert application.environs[0]["hearth.client_request_id"] == "abc-1"
    assert "hearth.client_request_id" not in application.environs[1]


def test_allowed_hosts_may_change_while_running(serve) -> None:  # noqa: F811
    hosts = ["localhost"]
    running = serve(Guards(Application(), lambda: Admitted(hosts)))
    assert running.ask("GET", "/", Host="Box.example:1").status == 403
    hosts.append("box.example:1")
    assert running.ask("GET", "/", Host="Box.example:1").status == 200
    assert running.ask("GET", "/", Host="box.example:2").status == 403


@pytest.mark.parametrize("host", ["192.0.2.7", "192.0.2.7:10242", "[2001:db8::1]:80", "0.0.0.0"])
def test_any_address_may_be_the_host_where_the_server_says_so(serve, host: str) -> None:  # noqa: F811
    running = serve(Guards(Application(), lambda: Admitted(any_ip=True)))
    assert running.ask("GET", "/", Host=host).status == 200
    for name in ("192.0.2.7.evil.example", "evil.example", "[2001:db8::1", "1.2.3"):
        assert running.ask("GET", "/", Host=name).status in (400, 403)


def test_paths_of_programs() -> None:
    assert all(map(wants_json, ["/v1", "/v1/", "//v1/models", "/api/pool", "/health"]))
    assert not any(map(wants_json, ["/", "/v1x", "/apis", "/chat/v1", ""]))


def test_a_refusal_s_type_follows_its_status() -> None:
    kinds = [
        json.loads(Refusal(status, "c", "m").body("/v1", "r")[1])["error"]["type"] for status in (400, 403, 413, 503)
    ]
    assert kinds == ["invalid_request_error", "permission_error", "invalid_request_error", "server_error"]


@pytest.mark.parametrize("host", ["LOCALHOST", "[0:0:0:0:0:0:0:1]:80", "localhost:00080", "127.0.0.1:0"])
def test_the_gate_reads_a_host_as_the_guards_do(hearth: Hearth, host: str) -> None:
    """Where there are no keys, who comes by a name of this machine alone needs none, however the name is spelled."""
    assert httpx.get(f"{hearth.base_url}/v1/models", headers={"Host": host}).status_code == 200
