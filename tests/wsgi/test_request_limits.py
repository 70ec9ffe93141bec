"""Requests that are too big, too slow or broken: refused in words, in JSON on /v1 and /api, and in bounded time."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from tests.wsgi.conftest import eventually, read_all, read_until, request
from tests.wsgi.test_streams import Serve, Streams
from webapp.wsgi import ConnectionLimits

MEGABYTE = 1 << 20


def error_of(received: bytes) -> tuple[int, dict[str, Any]]:
    head, _, body = received.partition(b"\r\n\r\n")
    assert b"x-request-id: req_" in head.lower() and b"content-security-policy" in head.lower()
    return int(head.split()[1]), json.loads(body)["error"]


@pytest.mark.parametrize(
    ("path", "size", "status"),
    [
        ("/v1/chat/completions", 15 * MEGABYTE, 200),
        ("/v1/chat/completions", 17 * MEGABYTE, 413),
        ("/api/settings", 2 * MEGABYTE, 413),
        ("/chat", MEGABYTE // 2, 200),
        ("/chat", 17 * MEGABYTE, 413),
        ("/v1x", 2 * MEGABYTE, 413),
        ("//v1/chat", 2 * MEGABYTE, 200),
    ],
)
def test_body_limit_by_path(serve: Serve, path: str, size: int, status: int) -> None:
    answer = serve(Streams()).ask("POST", path, b"x" * size)
    assert answer.status == status
    if status == 200:
        assert len(answer.body) == size + len(b"page ")
    elif path.startswith(("/v1/", "/api")):
        assert json.loads(answer.body)["error"] == {
            "message": answer_message(answer.body),
            "type": "invalid_request_error",
            "param": None,
            "code": "request_too_large",
        }
    else:
        assert answer.headers["content-type"].startswith("text/plain") and b"413" in answer.body


def answer_message(body: bytes) -> str:
    message: str = json.loads(body)["error"]["message"]
    assert message.endswith(".") or "exceeds" in message
    return message


def test_chunked_bodies_have_the_same_limit(serve: Serve) -> None:
    pieces = (b"x" * 65536 for _ in range(40))
    answer = serve(Streams()).ask("POST", "/api/settings", pieces)
    assert answer.status == 413


def test_expect_continue_is_answered_with_413_before_the_body(serve: Serve) -> None:
    running = serve(Streams())
    headers = ("Expect: 100-continue", "Content-Length: 99999999")
    assert error_of(read_all(running.connect(request("/v1/x", "POST", *headers))))[0] == 413
    client = running.connect(request("/v1/x", "POST", "Expect: 100-continue", "Content-Length: 2"))
    read_until(client, b"100 Continue\r\n\r\n")
    client.sendall(b"hi")
    assert b"page hi" in read_until(client, b"page hi")
    bodiless = running.connect(request("/", "GET", "Expect: 100-continue"))
    assert b"200 OK" in read_until(bodiless, b"page ")


@pytest.mark.parametrize(
    ("sent", "status", "code"),
    [
        (request("/v1/models", "GET", "X-Big: " + "x" * 17000), 431, "request_headers_too_large"),
        (b"GET /v1/models HTTP/1.1\r\nbroken header\r\n\r\n", 400, "bad_request"),
        (b"get /v1/models HTTP/1.1\r\n\r\n", 400, None),
        (b"GET /api/pool HTTP/2.7\r\nHost: x\r\n\r\n", 505, "http_version_not_supported"),
        (request("/v1/x", "POST", "Content-Length: -1"), 400, "bad_request"),
        (request("/v1/x", "POST", "Transfer-Encoding: gzip"), 501, "not_implemented"),
        (request("/v1/x", "POST", "Transfer-Encoding: chunked", "Content-Length: 3"), 400, "bad_request"),
        (request("/v1/x", "POST", "Transfer-Encoding: chunked") + b"zz\r\n", 400, "bad_request"),
        (request("/v1/x", "POST", "Transfer-Encoding: chunked") + b"1" * 9999, 400, "bad_request"),
        (b"POST /v1/x HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 400, "bad_request"),
    ],
)
def test_broken_requests(serve: Serve, sent: bytes, status: int, code: str | None) -> None:
    received = read_all(serve(Streams()).connect(sent))
    if code is None:  # not even a path to go by
        assert received.startswith(b"HTTP/1.0 400 Bad Request") or received.startswith(b"HTTP/1.1 400")
        return
    got, error = error_of(received)
    assert (got, error["code"], error["param"]) == (status, code, None)
    assert error["message"] and error["type"] == ("server_error" if status >= 500 else "invalid_request_error")


def test_dripping_headers_and_bodies_are_ended(serve: Serve) -> None:
    running = serve(Streams(), limits=ConnectionLimits(header_seconds=0.2, body_seconds=0.2))
    slow_headers = running.connect(b"GET /v1/x HTTP/1.1\r\nX-Slow: ")
    slow_body = running.connect(request("/v1/x", "POST", "Content-Length: 999999") + b"x")
    open_ends = [slow_headers, slow_body]
    deadline = time.monotonic() + 10
    for connection in open_ends:
        connection.settimeout(0.2)
        received = b""
        while not received and time.monotonic() < deadline:
            connection.send(b"x")
            try:
                received = connection.recv(65536)
            except TimeoutError:
                continue
        connection.settimeout(10)
        assert error_of(received + read_all(connection))[0] == 408
    assert running.ask("GET", "/").status == 200


def test_idle_connections_are_closed(serve: Serve) -> None:
    running = serve(Streams(), limits=ConnectionLimits(idle_seconds=0.2))
    assert read_all(running.connect()) == b""


def test_a_crowd_of_idle_connections_does_not_lock_others_out(serve: Serve) -> None:
    running = serve(Streams(), limits=ConnectionLimits(connections=20, crowded_idle_seconds=0.2))
    crowd = [running.connect() for _ in range(40)]
    assert running.ask("GET", "/").status == 200
    assert len(crowd) == 40


def test_an_answer_arrives_before_the_rest_of_the_body_is_read(serve: Serve) -> None:
    running = serve(Streams())
    client = running.connect(request("/v1/x", "POST", "Content-Length: 99999999"))
    received = read_until(client, b"request_too_large")
    for _ in range(100):
        client.sendall(b"x" * 65536)
    assert b" 413 " in received
    client.close()
    assert eventually(lambda: not running.web._listener.active_channels)
