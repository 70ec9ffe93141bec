"""A WebServer on a free port for the application that a test brings, and bare sockets to talk to it."""

from __future__ import annotations

import http.client
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from webapp.wsgi import WebServer

PATIENCE_SECONDS = 10.0


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes


@dataclass
class Running:
    web: WebServer
    loop: threading.Thread
    _sockets: list[socket.socket] = field(default_factory=list)

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.web.address[1]}"

    def connect(self, opening: bytes = b"") -> socket.socket:
        connection = socket.create_connection(self.web.address, timeout=PATIENCE_SECONDS)
        self._sockets.append(connection)
        connection.sendall(opening)
        return connection

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        client = http.client.HTTPConnection(*self.web.address, timeout=PATIENCE_SECONDS)
        try:
            client.request(method, path, body, headers)
            response = client.getresponse()
            names = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, names, response.read())
        finally:
            client.close()

    def stop(self, grace_seconds: float = 0.0) -> None:
        self.web.stop(grace_seconds)
        self.loop.join(PATIENCE_SECONDS)
        for connection in self._sockets:
            connection.close()
        assert not self.loop.is_alive()


@pytest.fixture
def serve() -> Iterator[Callable[..., Running]]:
    started: list[Running] = []

    def start(application: Any, **options: Any) -> Running:
        web = WebServer(application, "127.0.0.1", 0, **options)
        loop = threading.Thread(target=web.run, daemon=True)
        loop.start()
        started.append(Running(web, loop))
        return started[-1]

    yield start
    for running in started:
        running.stop()


def request(path: str, method: str = "GET", *headers: str) -> bytes:
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: localhost", *headers, "", ""]).encode()


def read_all(connection: socket.socket) -> bytes:
    """Until the server closes; a reset counts as an end too."""
    received = b""
    try:
        while chunk := connection.recv(65536):
            received += chunk
    except ConnectionResetError:
        pass
    return received


def read_until(connection: socket.socket, mark: bytes) -> bytes:
    received = b""
    while mark not in received:
        chunk = connection.recv(65536)
        assert chunk, f"closed after {received!r}"
        received += chunk
    return received


def eventually(condition: Callable[[], bool], seconds: float = PATIENCE_SECONDS) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True
