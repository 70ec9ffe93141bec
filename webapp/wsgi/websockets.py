"""WebSockets: connections that left the select loop and live in a thread of their own.

Unmodified flask-sock finds the socket in `environ["werkzeug.socket"]`, as under Werkzeug's server. The
application decides whether a route uses it; if none writes the handshake, its ordinary response is sent.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import struct
import threading
from typing import Any, Protocol

from simple_websocket import ConnectionClosed
from waitress.task import WSGITask

from webapp.wsgi.parser import Parser

log = logging.getLogger(__name__)

_CLOSE = b"\x88"
_GOING_AWAY = b"\x88\x02\x03\xe9"  # a Close frame with status 1001
_ABNORMAL_CLOSURE = 1006


class PeerGone(ConnectionClosed, OSError):
    """An OSError for simple_websocket's reader thread, a ConnectionClosed for flask-sock: both end quietly."""

    def __init__(self, message: str):
        ConnectionClosed.__init__(self, _ABNORMAL_CLOSURE, message)


class HandoverSocket:
    """The blocking socket that simple_websocket gets.

    simple_websocket calls `send` from two threads and expects it to send everything. This `send` does so under a lock,
    and raises PeerGone when the peer stops reading.
    """

    def __init__(self, sock: socket.socket, send_seconds: float):
        sock.setblocking(True)
        whole, fraction = divmod(send_seconds, 1)
        sock.setsockopt(
            socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("@ll", int(whole), int(fraction * 1_000_000))
        )
        self._sock = sock
        self._lock = threading.Lock()
        self._said_goodbye = False
        self.taken = False  # the application wrote to it: its WSGI response is dropped
        self.closed = threading.Event()

    def fileno(self) -> int:
        return self._sock.fileno()

    def recv(self, size: int) -> bytes:
        return self._sock.recv(size)

    def send(self, frame: bytes) -> int:
        self.taken = True
        try:
            with self._lock:
                if not self._said_goodbye:  # a frame after Close would be a protocol error
                    self.send_all(frame)
                    self._said_goodbye = frame[:1] == _CLOSE
        except OSError as error:
            self.abort()
            raise PeerGone(str(error)) from error
        return len(frame)

    def send_all(self, rest: bytes) -> None:
        view = memoryview(rest)
        while view:
            sent = self._sock.send(view)
            if sent < len(view):  # SO_SNDTIMEO expired
                raise TimeoutError("the peer stopped reading")
            view = view[sent:]

    def say_goodbye(self) -> None:
        """Send Close 1001. The select loop calls this, so it waits only briefly for another sender."""
        if not self.taken or not self._lock.acquire(timeout=0.1):
            return
        try:
            self._sock.send(_GOING_AWAY, socket.MSG_DONTWAIT)
        except OSError:
            self.abort()
        finally:
            self._said_goodbye = True
            self._lock.release()

    def abort(self, how: int = socket.SHUT_RDWR) -> None:
        """Wake threads that are blocked in `recv` or `send`; the file descriptor stays open."""
        with contextlib.suppress(OSError):  # not connected any more: no thread is blocked either
            self._sock.shutdown(how)

    def close(self) -> None:
        self.abort()
        with self._lock:  # never free the descriptor's number under a sender
            self._sock.close()
        self.closed.set()


class UpgradedChannel(Protocol):
    """The channel of a WebSocket's request. The select loop has forgotten it, but waitress' task still uses it."""

    handover: HandoverSocket | None
    connected: bool


class WebSocketTask(WSGITask):
    def get_environment(self) -> dict[str, Any]:
        environ: dict[str, Any] = super().get_environment()
        environ["SERVER_SOFTWARE"] = "hearth"
        environ["werkzeug.socket"] = self.channel.handover
        return environ

    def write(self, data: bytes) -> None:
        if self.channel.handover.taken:
            self.content_bytes_written += len(data)  # waitress must believe that the response was sent
        else:
            self.set_close_on_finish()
            super().write(data)

    def finish(self) -> None:
        if not self.channel.handover.taken:
            super().finish()


class WebSockets:
    """The open WebSockets: counted against a limit, and closed together."""

    def __init__(self, maximum: int, close_seconds: float):
        self._maximum, self._close_seconds = maximum, close_seconds
        self._lock = threading.Lock()
        self._open: set[HandoverSocket] = set()
        self._closing = False

    def __len__(self) -> int:
        return len(self._open)

    @property
    def has_room(self) -> bool:
        return not self._closing and len(self._open) < self._maximum

    def start(self, channel: UpgradedChannel, request: Parser, handover: HandoverSocket) -> None:
        with self._lock:
            self._open.add(handover)
        arguments = (channel, request, handover)
        threading.Thread(target=self._serve, args=arguments, name="websocket", daemon=True).start()

    def say_goodbye(self) -> None:
        self._closing = True
        for handover in self._now_open():
            handover.say_goodbye()

    def abort(self) -> None:
        """Shut down reading on all of them, so that `receive()` raises ConnectionClosed."""
        for handover in self._now_open():
            handover.abort(socket.SHUT_RD)

    def _now_open(self) -> list[HandoverSocket]:
        with self._lock:
            return list(self._open)

    def _serve(self, channel: UpgradedChannel, request: Parser, handover: HandoverSocket) -> None:
        try:
            WebSocketTask(channel, request).service()
        except OSError as error:
            log.info("A WebSocket's client left: %s", error)
        finally:
            self._finish(handover)
            channel.connected = False
            request.close()
            with self._lock:
                self._open.discard(handover)

    def _finish(self, handover: HandoverSocket) -> None:
        """Close the socket. Waits a moment for the closing handshake, after which simple_websocket closes it itself."""
        if handover.taken and not handover.closed.wait(self._close_seconds):
            handover.abort()
            handover.closed.wait(0.5)
        handover.close()
