"""stop(): nothing new, running responses may finish, the rest is ended; nobody waits for ever."""

from __future__ import annotations

import contextlib
import socket
import time

import pytest

from tests.wsgi.conftest import eventually, read_all, read_until, request
from tests.wsgi.test_streams import Serve, Streams


def test_a_running_response_finishes_within_the_grace(serve: Serve) -> None:
    streams = Streams()
    running = serve(streams)
    idle, client = running.connect(), running.connect(request("/stream"))
    read_until(client, b"data: x")
    running.web.stop(10)
    assert read_all(idle) == b""  # an idle connection is closed, a new one refused
    with pytest.raises(OSError):
        socket.create_connection(running.web.address, timeout=1).recv(1)
    assert running.loop.is_alive()
    streams.release.set()
    assert read_all(client).endswith(b"0\r\n\r\n")
    running.loop.join(10)
    assert not running.loop.is_alive() and streams.left == []


def test_past_the_grace_the_rest_is_cut_and_told(serve: Serve) -> None:
    streams = Streams(pause_seconds=60)
    running = serve(streams)
    clients = [running.connect(request("/stream")) for _ in range(5)]
    for client in clients:
        read_until(client, b"data: x")
    running.web.stop(60)
    time.sleep(0.1)
    running.web.stop(0)  # a second signal: now
    running.loop.join(10)
    assert not running.loop.is_alive()
    assert streams.left == [running.loop.name] * 5
    for client in clients:
        assert not read_all(client).endswith(b"0\r\n\r\n")
    streams.release.set()
    assert eventually(lambda: streams.closed == 5)


def test_cut_even_behind_a_pipelined_request_that_hides_the_hang_up(serve: Serve) -> None:
    streams = Streams(pause_seconds=60)
    running = serve(streams)
    client = running.connect(request("/stream") + request("/a") + request("/b"))
    read_until(client, b"data: x")
    running.stop(0)
    assert streams.left == [running.loop.name]
    streams.release.set()


def test_stop_before_run_and_after_it(serve: Serve) -> None:
    running = serve(Streams())
    running.stop()
    with contextlib.suppress(RuntimeError):
        running.web.stop()
    assert not running.loop.is_alive()
