"""Unmodified flask-sock and simple_websocket on waitress: echo, refusal, abuse, limits, the end."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator

import pytest
from flask import Flask, Response, abort, request
from flask_sock import Sock
from simple_websocket import Client, ConnectionClosed

from tests.wsgi.conftest import Running, eventually, read_all, read_until
from webapp.wsgi import ConnectionLimits

Serve = Callable[..., Running]

UPGRADE = (
    "Host: localhost",
    "Upgrade: websocket",
    "Connection: keep-alive, Upgrade",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
)


def handshake(path: str, *headers: str) -> bytes:
    return "\r\n".join([f"GET {path} HTTP/1.1", *(headers or UPGRADE), "", ""]).encode()


def application() -> Flask:
    app = Flask(__name__)
    app.config["SOCK_SERVER_OPTIONS"] = {"ping_interval": 25, "max_message_size": 65536}
    app.register_error_handler(ConnectionClosed, lambda error: ("", 204))
    sock = Sock(app)

    @app.before_request
    def turn_away() -> None:
        if "no" in request.args:
            abort(401)

    @app.get("/")
    def page() -> str:
        return "page"

    @sock.route("/echo")
    def echo(ws) -> None:
        while True:
            ws.send(ws.receive())

    @sock.route("/flood")
    def flood(ws) -> None:
        while True:
            ws.send("x" * 60_000)

    @sock.route("/fail")
    def fail(ws) -> None:
        raise RuntimeError("after the handshake")

    @app.get("/plain")
    def plain() -> Response:
        return Response("plain")

    return app


@pytest.fixture
def connect() -> Iterator[Callable[[Running, str], Client]]:
    clients: list[Client] = []

    def open_client(running: Running, path: str = "/echo") -> Client:
        clients.append(Client.connect(f"ws://{running.host}{path}"))
        return clients[-1]

    yield open_client
    for client in clients:
        if client.connected:
            client.close()


def test_a_hundred_echo_beside_pages(serve: Serve, connect) -> None:
    running = serve(application())
    clients = [connect(running) for _ in range(100)]
    for number, client in enumerate(clients):
        client.send(f"hello {number}")
    for number, client in enumerate(clients):
        assert client.receive(timeout=10) == f"hello {number}"
    assert running.ask("GET", "/").body == b"page"
    assert (running.web.websockets, running.web.threads <= 8) == (100, True)
    for client in clients:
        client.close()
    assert eventually(lambda: running.web.websockets == 0)


def test_big_messages_arrive_whole(serve: Serve, connect) -> None:
    client = connect(serve(application()))
    for size in (1, 4095, 65536):
        client.send("a" * size)
        assert client.receive(timeout=10) == "a" * size


@pytest.mark.parametrize(("path", "status"), [("/echo?no", 401), ("/nowhere", 404), ("/plain", 400), ("/fail", 101)])
def test_the_application_decides_before_the_handshake(serve: Serve, path: str, status: int) -> None:
    running = serve(application(), limits=ConnectionLimits(websocket_close_seconds=0.1))
    client = running.connect(handshake(path))
    assert read_until(client, b"\r\n\r\n").split()[1] == str(status).encode()
    read_all(client)
    assert eventually(lambda: running.web.websockets == 0)


@pytest.mark.parametrize(
    "sent",
    [
        handshake("/echo", *UPGRADE[:4]),
        handshake("/echo", *UPGRADE[:3], "Sec-WebSocket-Version: 8", UPGRADE[4]),
        handshake("/echo") + b"\x81\x82early",
        handshake("/echo", "Host: localhost"),
    ],
    ids=["no key", "old version", "early data", "no upgrade"],
)
def test_odd_handshakes_get_400(serve: Serve, sent: bytes) -> None:
    running = serve(application())
    client = running.connect(sent)
    assert read_until(client, b"\r\n\r\n").startswith(b"HTTP/1.1 400")
    client.close()
    assert running.web.websockets == 0


def test_a_handshake_behind_another_request_gets_400(serve: Serve) -> None:
    running = serve(application())
    received = read_all(running.connect(handshake("/", "Host: localhost") + handshake("/echo")))
    assert received.startswith(b"HTTP/1.1 200") and b"HTTP/1.1 400" in received
    assert running.web.websockets == 0


def test_beyond_the_limit_503(serve: Serve, connect) -> None:
    running = serve(application(), max_websockets=2)
    clients = [connect(running) for _ in range(2)]
    assert b"HTTP/1.1 503" in read_all(running.connect(handshake("/echo")))
    clients[0].close()
    assert eventually(lambda: running.web.websockets == 1)
    connect(running).send("again")


def test_a_client_that_vanishes_frees_its_place(serve: Serve) -> None:
    running = serve(application())
    client = running.connect(handshake("/echo"))
    read_until(client, b"\r\n\r\n")
    assert running.web.websockets == 1
    client.close()
    assert eventually(lambda: running.web.websockets == 0)


def test_a_client_that_stops_reading_is_dropped(serve: Serve) -> None:
    running = serve(application(), limits=ConnectionLimits(websocket_send_seconds=0.3))
    client = running.connect()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.sendall(handshake("/flood"))
    assert eventually(lambda: running.web.websockets == 1)
    assert eventually(lambda: running.web.websockets == 0)


def test_longer_than_the_idle_limit(serve: Serve, connect) -> None:
    running = serve(application(), limits=ConnectionLimits(idle_seconds=0.1))
    client = connect(running)
    read_all(running.connect())  # an idle connection that speaks no WebSocket is closed meanwhile
    client.send("still here")
    assert client.receive(timeout=10) == "still here"


def test_stop_says_going_away(serve: Serve, connect) -> None:
    running = serve(application())
    clients = [connect(running) for _ in range(20)]
    mute = running.connect(handshake("/echo"))
    read_until(mute, b"\r\n\r\n")
    reasons: list[int] = []

    def wait_for_the_end(client: Client) -> None:
        with pytest.raises(ConnectionClosed) as closed:
            client.receive(timeout=10)
        reasons.append(closed.value.reason)

    waiting = [threading.Thread(target=wait_for_the_end, args=(client,)) for client in clients]
    for thread in waiting:
        thread.start()
    running.stop(10)
    for thread in waiting:
        thread.join(10)
    assert reasons == [1001] * 20
