"""Streams hold their threads, pages still load, and a client that leaves is noticed at once."""

from __future__ import annotations

import errno
import json
import socket
import struct
import threading
from collections.abc import Callable, Iterator

import pytest

from tests.wsgi.conftest import Running, eventually, read_all, read_until, request
from webapp.wsgi import ConnectionLimits, WebServer

Serve = Callable[..., Running]


class Streams:
    """`/stream` sends chunks until its client leaves or `release` is set; everything else answers at once."""

    def __init__(self, chunk: bytes = b"data: x\n\n", pause_seconds: float = 0.05):
        self.chunk, self.pause_seconds = chunk, pause_seconds
        self.release = threading.Event()
        self.left: list[str] = []
        self.closed = 0

    def __call__(self, environ, start_response):
        if environ["PATH_INFO"] == "/stream":
            environ["hearth.on_disconnect"](lambda: self.left.append(threading.current_thread().name))
            start_response("200 OK", [("Content-Type", "text/event-stream")])
            return self._chunks()
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"page " + environ["wsgi.input"].read()]

    def _chunks(self) -> Iterator[bytes]:
        try:
            yield self.chunk
            while not self.release.wait(self.pause_seconds):
                yield self.chunk
        finally:
            self.closed += 1


@pytest.fixture
def streams() -> Iterator[Streams]:
    application = Streams()
    yield application
    application.release.set()


def test_bound_at_once_and_says_so_when_the_port_is_taken() -> None:
    first = WebServer(Streams(), "127.0.0.1", 0)
    with pytest.raises(OSError) as caught:
        WebServer(Streams(), *first.address)
    assert caught.value.errno == errno.EADDRINUSE
    first.stop()
    first.run()
    WebServer(Streams(), *first.address).stop()


def test_a_hundred_streams_leave_room_for_pages(serve: Serve, streams: Streams) -> None:
    running = serve(streams, min_threads=2, limits=ConnectionLimits(thread_idle_seconds=0.2))
    clients = [running.connect(request("/stream")) for _ in range(100)]
    for client in clients:
        read_until(client, b"data: x")
    assert running.ask("GET", "/").body == b"page "
    assert running.web.threads >= 100

    streams.release.set()
    for client in clients:
        assert read_all(client).endswith(b"0\r\n\r\n")
    assert eventually(lambda: running.web.threads == 2)
    assert streams.left == []  # nobody left: the streams ended


def test_requests_that_generate_leave_threads_for_the_rest(serve: Serve) -> None:
    release = threading.Event()

    def application(environ, start_response):
        if environ["PATH_INFO"] == "/v1/completions":
            release.wait(10)
        start_response("200 OK", [("Content-Length", "2")])
        return [b"ok"]

    running = serve(application, min_threads=1, max_threads=5, reserved_threads=2)
    clients = [running.connect(request("/v1/completions", "POST", "Content-Length: 0")) for _ in range(3)]
    assert eventually(lambda: running.web.threads == 3)
    for _ in range(3):
        refused = running.ask("POST", "/v1/completions")
        error = json.loads(refused.body)["error"]
        assert (refused.status, error["code"], error["type"]) == (429, "queue_full", "rate_limit_error")
        assert refused.headers["retry-after"] == "1"
    for method, path in (("GET", "/health"), ("GET", "/v1/models"), ("POST", "/v1/requests/req_1/cancel")):
        assert running.ask(method, path).body == b"ok"
    release.set()
    for client in clients:
        assert read_until(client, b"ok").startswith(b"HTTP/1.1 200")
    assert eventually(lambda: running.ask("POST", "/v1/completions").status == 200)


def test_keep_alive_serves_one_request_after_another(serve: Serve, streams: Streams) -> None:
    running = serve(streams)
    client = running.connect(request("/a") + request("/b"))
    assert read_until(client, b"page ").count(b"200 OK") <= 2
    client.sendall(request("/c", "POST", "Content-Length: 3") + b"abc")
    assert b"page abc" in read_until(client, b"page abc")


@pytest.mark.parametrize("how", ["close", "reset", "half-close"])
def test_a_client_that_leaves_is_noticed_while_the_stream_is_silent(serve: Serve, how: str) -> None:
    silent = Streams(pause_seconds=60)
    running = serve(silent)
    client = running.connect(request("/stream"))
    read_until(client, b"data: x")
    if how == "half-close":
        client.shutdown(socket.SHUT_WR)
    else:
        linger = struct.pack("ii", how == "reset", 0)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        client.close()
    assert eventually(lambda: silent.left == [running.loop.name])
    silent.release.set()
    assert eventually(lambda: silent.closed == 1)
    assert silent.left == [running.loop.name]


def test_the_callback_also_runs_for_a_client_that_is_gone_already(serve: Serve) -> None:
    reached, may_go_on, ran = threading.Event(), threading.Event(), threading.Event()

    def application(environ, start_response):
        reached.set()
        may_go_on.wait(10)
        environ["hearth.on_disconnect"](ran.set)
        start_response("200 OK", [])
        return []

    running = serve(application)
    client = running.connect(request("/"))
    assert reached.wait(10)
    client.close()
    assert eventually(lambda: not running.web._listener.active_channels)
    may_go_on.set()
    assert ran.wait(10)


def test_a_raising_callback_harms_nobody(serve: Serve) -> None:
    ran = threading.Event()

    def application(environ, start_response):
        environ["hearth.on_disconnect"](ran.set)
        environ["hearth.on_disconnect"](lambda: 1 / 0)
        start_response("200 OK", [])
        yield b"first"
        ran.wait(10)

    running = serve(application)
    client = running.connect(request("/"))
    read_until(client, b"first")
    client.close()
    assert ran.wait(10)
    assert running.loop.is_alive()


def test_a_client_that_stops_reading_gives_its_thread_back(serve: Serve) -> None:
    flood = Streams(chunk=b"x" * 500_000, pause_seconds=0.001)
    running = serve(flood, limits=ConnectionLimits(send_seconds=0.5))
    client = running.connect(request("/stream"))
    assert eventually(lambda: flood.closed == 1 and len(flood.left) == 1)
    assert read_all(client)


def test_an_application_that_raises_answers_500_in_the_path_s_own_language(serve: Serve) -> None:
    def application(environ, start_response):
        raise RuntimeError("a secret")

    running = serve(application)
    api, page = running.ask("GET", "/v1/models"), running.ask("GET", "/chat")
    assert (api.status, api.headers["content-type"]) == (500, "application/json")
    assert (page.status, page.headers["content-type"]) == (500, "text/plain; charset=utf-8")
    assert b"secret" not in api.body + page.body
    assert api.headers["x-request-id"].startswith("req_")


def test_a_stream_that_fails_never_looks_complete(serve: Serve) -> None:
    def application(environ, start_response):
        start_response("200 OK", [])
        yield b"half"
        raise RuntimeError

    received = read_all(serve(application).connect(request("/")))
    assert b"half" in received and not received.endswith(b"0\r\n\r\n")
